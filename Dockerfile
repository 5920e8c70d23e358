# Serves an exported folder: docker build -t recbole-mm . && docker run -p 8000:8000 -v "$PWD/exported:/exported:ro" recbole-mm
FROM python:3.11-slim
WORKDIR /app
COPY . .
# --build-arg TORCH_INDEX=URL of torch's index for CPUs: else pip takes the build for GPUs, gigabytes.
ARG TORCH_INDEX=
RUN pip install --no-cache-dir torch==2.13.0 ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} \
    && pip install --no-cache-dir -c constraints.txt '.[serve,onnx]' \
    && pip install --no-cache-dir --no-deps recbole==1.2.1 \
    && useradd --create-home server
USER server
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health', timeout=3)"]
CMD ["recbole-mm", "serve", "/exported", "--host=0.0.0.0"]
