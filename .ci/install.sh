#!/usr/bin/env bash
# install.sh build|test: installs what building (or building and testing) needs, from Debian's packages and PyPI.
# Skips what is there, works as root or with sudo, and says what it does. Prints nothing where nothing is missing.
set -euo pipefail

packages=(
  clang-22 lld-22 liblld-22-dev llvm-22-dev llvm-22-tools libmlir-22-dev mlir-22-tools    # the compiler
  libzstd-dev libcurl4-openssl-dev libedit-dev zlib1g-dev                                 # what LLVM's CMake files look for
  cmake ninja-build ccache
  libflatbuffers-dev flatbuffers-compiler libcli11-dev libtomlplusplus-dev nlohmann-json3-dev libmd-dev libpng-dev
  dataset-fashion-mnist
)
if [[ ${1:-} == test ]]; then
  packages+=(libgtest-dev libgmock-dev libclang-rt-22-dev libdnnl-dev python3 python3-venv neovim)
elif [[ ${1:-} != build ]]; then
  echo "usage: install.sh build|test" >&2
  exit 2
fi

missing=()
for package in "${packages[@]}"; do
  [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == "install ok installed" ]] || missing+=("$package")
done
if ((${#missing[@]})); then
  echo "installing Debian packages: ${missing[*]}"
  as_root=()
  if [[ $(id -u) != 0 ]]; then
    command -v sudo >/dev/null || { echo "expected root or sudo to install: ${missing[*]}" >&2; exit 1; }
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
fi

if [[ $1 == test ]]; then
  # PyTorch and timm are the outside witnesses of the tests, in an environment of its own; nothing else needs Python.
  # Versions are fixed, since tests hold bytes and digits against them.
  venv=${XDG_CACHE_HOME:-$HOME/.cache}/moe/venv
  witnesses=(torch==2.15.0 numpy==2.4.6 pillow==13.0.0 safetensors==0.8.0 timm==1.0.31 torchvision==0.29.2 onnxruntime==1.32.0)
  if ! "$venv/bin/python" - "${witnesses[@]}" 2>/dev/null <<'END'
import importlib.metadata, sys
for name, version in (wanted.split("==") for wanted in sys.argv[1:]):
    if importlib.metadata.version(name).split("+")[0] != version:
        sys.exit(1)
END
  then
    echo "installing ${witnesses[*]} into $venv (about 2 GB)"
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check "${witnesses[@]}"
  fi
fi
