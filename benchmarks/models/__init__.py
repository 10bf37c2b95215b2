"""Real networks, from the files of their makers to integer Programs: what each loses and takes, and that engines agree.

`python -m benchmarks.models measure FOLDER` measures them one by one, `... rtl FOLDER` runs their layers on the RTL,
and `... table FOLDER` prints what docs/models.md shows. Models of others come from PyPI, unpacked and not installed:

    pip download --no-deps rapidocr-onnxruntime==1.4.4 basic-pitch==0.4.0 facenet-pytorch==2.6.0

The other networks are trained on pictures that this folder or the project draws; their weights are kept in FOLDER.
"""
