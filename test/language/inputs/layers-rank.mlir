moe.layer @Pool(%x: [height, width, channels]) {
  yield %x
}
