moe.model @worded<classes = 3, far: number = 1.5>(%x: vector[8]) {
  %a = linear @a(%x) to classes
  %b = words.half %a
  %c = words.scaled %a by = far
  %d = words.distance %b, %c
  words.remark %d
  %total = words.total %d
  expose @total %total
  return logits = %d
}
