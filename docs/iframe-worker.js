// Browsers start no worker for pages that are read from files. There, search runs in a hidden frame instead.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      frame.srcdoc = "<!doctype html>";
      this.scope = new Promise((resolve) => {
        frame.onload = async () => {
          const scope = frame.contentWindow;
          const load = (source) => new Promise((loaded) => {
            const script = scope.document.createElement("script");
            script.src = source;
            script.onload = loaded;
            scope.document.head.append(script);
          });
          scope.importScripts = (...sources) => sources.reduce((before, next) => before.then(() => load(next)), Promise.resolve());
          scope.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
          await load(url);
          resolve(scope);
        };
      });
      document.body.append(frame);
    }

    postMessage(data) {
      this.scope.then((scope) => scope.dispatchEvent(new MessageEvent("message", { data })));
    }
  };
}
