"""Models that other tools have quantized: made from named sources, imported, compared with what those tools compute.

`python -m benchmarks.others make FOLDER` writes the models, `... zoo FOLDER` takes in public ones, `... measure FOLDER`
measures all that lie there, and `... apart FOLDER --only FILE` looks at each op of one by itself. To make them takes an
environment of its own beside what the project needs:

    pip install onnxscript onnxoptimizer brevitas==0.13.4 dependencies==2.0.1 unfoldNd torchao==0.18.0 qonnx==1.0.0
"""
