// RUN: moe-opt %s --mlir-use-nameloc-as-prefix | FileCheck %s
// RUN: moe-opt %s --emit-bytecode -o %t.bc && moe-opt %t.bc --mlir-use-nameloc-as-prefix | FileCheck %s
// CHECK-DAG: %patch = patches @patch_embed(%image) size = patch to dim
// CHECK-DAG: %route = route @gate(%x) cosine, experts = experts, top = 1, proj = 256, capacity = 1.5, noise = 1.0, prioritized
// A ViT with six sparse experts in blocks 8 and 10 (Li et al., ICLR 2023).
moe.layer @Mlp<dim, hidden, drop: number = 0.0>(%x) {
  %up   = linear @fc1(%x) to hidden
  %act  = gelu %up
  %kept = dropout %act, drop              // the authors drop in experts only
  %down = linear @fc2(%kept) to dim
  yield %down
}

moe.layer @CosineMoe<dim, hidden, experts>(%x) {
  %route = route @gate(%x) cosine, experts = experts, top = 1, proj = 256,
           capacity = 1.5, noise = 1.0, prioritized
  %sent  = dispatch %route, %x
  %done  = experts @experts(%sent) layer @Mlp<dim, hidden, 0.1>
  %mixed = combine %route, %done
  aux @balance importance_load %route, 0.01
  expose @chosen %route
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

moe.model @gmoe<classes = 65, size = 224, patch = 16, dim = 384, heads = 6, experts = 6, dense = 8, pairs = 2,
                @sparse = @CosineMoe>(%image: image[3, size, size]) {
  default linear trunc_normal(0.02), zeros
  %patch  = patches @patch_embed(%image) size = patch to dim
  %cls    = param @cls_token [1, 1, dim] trunc_normal(0.02)
  %pos    = param @pos_embed [1, (size / patch) * (size / patch) + 1, dim] trunc_normal(0.02)
  %seq    = prepend %cls, %patch
  %tokens = add %seq, %pos
  %deep   = chain @blocks(%tokens)
            [dense * @Block<heads, @Mlp<dim, 4 * dim>>,
             pairs * [@Block<heads, @sparse<dim, 4 * dim, experts>>, @Block<heads, @Mlp<dim, 4 * dim>>]]
            ramp drop_path from 0.0 to 0.1
  %norm   = layer_norm @norm(%deep) eps = 1e-6
  %feat   = take %norm token = 0
  %logits = linear @head(%feat) to classes
  expose @features %feat
  return logits = %logits
}
