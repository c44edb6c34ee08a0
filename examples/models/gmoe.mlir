// A vision transformer with sparse experts (Li et al., "Sparse Mixture-of-Experts are Domain Generalizable Learners", ICLR 2023,
// arXiv 2206.04046). The default is GMoE-S/16 with the experts in blocks 8 and 10 of 12, counted from 0 ("last two"). Others:
//
//   GMoE-B/16            -Ddim=768 -Dheads=12
//   every two            -Ddense=0 -Dpairs=6                blocks 0, 2, ..., 10
//   the other phase      -Ddense=9 -Dpairs=1 -Dlast=1       blocks 9 and 11
//                        -Ddense=1 -Dpairs=5 -Dlast=1       blocks 1, 3, ..., 11
//   ViT-S/16             -Ddense=12 -Dpairs=0
//   linear routers       -Dsparse=@LinearMoe
//   28 pixels in grey    -Dchannels=1 -Dsize=28 -Dpatch=7 -Ddim=64 -Dheads=4 -Dclasses=10
//   64 pixels            -Dsize=64 -Dpatch=8
//
// `dense` blocks come first, then `pairs` of a sparse block and a dense one, then `last` sparse blocks. Parameters have timm's names,
// so the weights of a vision transformer fit; those of experts have `.experts` in front of `.fc1` and `.fc2`, and an axis of experts.
// `mean` and `deviation` are those of ImageNet's pixels, in grey the means of their three. Routing is Tutel's, as the authors have it. So
// are the initial values; an expert's are torch's.

moe.layer @Mlp<hidden>(%x: [tokens, dim]) {
  %up   = linear @fc1(%x) to hidden
  %act  = gelu %up
  %down = linear @fc2(%act) to dim
  yield %down
}

moe.layer @Expert<hidden, drop: number>(%x: [dim]) {
  %up   = linear @fc1(%x) to hidden init torch, torch
  %act  = gelu %up
  %kept = dropout %act, drop                  // the authors drop in experts only
  %down = linear @fc2(%kept) to dim init torch, torch
  yield %down
}

moe.layer @CosineMoe<hidden, experts>(%x) {
  %route = route @gate(%x) cosine, experts = experts, top = 1, proj = 256, capacity = 1.5, noise = 1.0, prioritized
  %sent  = dispatch %route, %x
  %done  = experts @experts(%sent) layer @Expert<hidden, 0.1>
  %mixed = combine %route, %done
  aux @balance importance_load %route, 0.01
  expose @gates %route
  yield %mixed
}

moe.layer @LinearMoe<hidden, experts>(%x) {
  %route = route @gate(%x) linear, experts = experts, top = 1, capacity = 1.5, noise = 1.0, prioritized
  %sent  = dispatch %route, %x
  %done  = experts @experts(%sent) layer @Expert<hidden, 0.1>
  %mixed = combine %route, %done
  aux @balance importance_load %route, 0.01
  expose @gates %route
  yield %mixed
}

moe.layer @Block<heads, @ffn, drop_path: number = 0.0>(%x) {
  %n1  = layer_norm @norm1(%x) eps = 1e-6
  %att = attention @attn(%n1) heads = heads
  %mid = residual %x, %att drop_path = drop_path
  %n2  = layer_norm @norm2(%mid) eps = 1e-6
  %ff  = apply @mlp(%n2) layer @ffn
  %out = residual %mid, %ff drop_path = drop_path
  yield %out
}

moe.model @gmoe<classes = 65, channels = 3, size = 224, patch = 16, dim = 384, heads = 6, ratio = 4, experts = 6,
                dense = 8, pairs = 2, last = 0, @sparse = @CosineMoe, drop_path: number = 0.1,
                mean: numbers = [0.485, 0.456, 0.406], deviation: numbers = [0.229, 0.224, 0.225]>
               (%image: image[channels, size, size] mean mean deviation deviation) {
  default linear trunc_normal(0.02), zeros
  %patches = patches @patch_embed(%image) size = patch to dim
  %cls     = param @cls_token [1, 1, dim] trunc_normal(0.02)
  %seq     = prepend %cls, %patches
  %pos     = param @pos_embed [1, size(%seq, tokens), dim] trunc_normal(0.02)
  %tokens  = add %seq, %pos
  %deep    = chain @blocks(%tokens)
             [dense * @Block<heads, @Mlp<ratio * dim>>,
              pairs * [@Block<heads, @sparse<ratio * dim, experts>>, @Block<heads, @Mlp<ratio * dim>>],
              last * @Block<heads, @sparse<ratio * dim, experts>>]
             ramp drop_path from 0.0 to drop_path
  %norm    = layer_norm @norm(%deep) eps = 1e-6
  %feature = take %norm token = 0             // the class token
  %logits  = linear @head(%feature) to classes
  expose @features %feature
  return logits = %logits
}
