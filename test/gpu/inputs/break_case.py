"""Changes a case of gpu-cases, so that the test can see that it is noticed: adds 1 to the first element of a tensor.

    break_case.py CASE.safetensors TENSOR
"""
import json
import pathlib
import struct
import sys

path, name = pathlib.Path(sys.argv[1]), sys.argv[2]
data = bytearray(path.read_bytes())
length = struct.unpack_from("<Q", data)[0]
begin = 8 + length + json.loads(data[8:8 + length])[name]["data_offsets"][0]
struct.pack_into("<d", data, begin, struct.unpack_from("<d", data, begin)[0] + 1)
path.write_bytes(data)
