"""The cycle recurrence: when each op starts and ends."""
