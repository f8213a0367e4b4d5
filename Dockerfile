# clippan in a container, as a user without privileges. By default for the CPU:
#
#   docker build --tag clippan .
#   docker run --rm --user "$(id -u):$(id -g)" --volume "$PWD:/data" clippan sharpen ms.tif pan.tif -o sharp.tif
#
# For an NVIDIA GPU, name an index of PyTorch for its version of CUDA, and run with --gpus all:
#
#   docker build --build-arg TORCH=cu128 --tag clippan:cuda .
FROM python:3.13-slim AS build
WORKDIR /src
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.13-slim
ARG TORCH=cpu
# GDAL in the wheel of rasterio needs libexpat from the system.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 clippan
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    pip install --no-cache-dir --extra-index-url "https://download.pytorch.org/whl/${TORCH}" /wheels/*.whl
ENV NVIDIA_DRIVER_CAPABILITIES=compute,utility
USER 1000
WORKDIR /data
ENTRYPOINT ["clippan"]
CMD ["--help"]
