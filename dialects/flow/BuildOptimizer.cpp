// The updates of BuildOptimizer.h, operation for operation as torch.optim's Adam, AdamW and SGD write them.
// Adam's bias corrections 1 - beta^t are states of their own, kept by c <- beta c + (1 - beta): in f32 the
// direct form loses all digits of a small correction to the subtraction, and this form follows a beta that
// the recipe changes.
#include "dialects/flow/BuildOptimizer.h"
#include "dialects/flow/Emit.h"

using namespace mlir;

namespace flow {
namespace {

/// The output that says whether the update was made.
constexpr StringRef predicateName = "finite";

struct Update {
  Emit e;
  Value finite; // tensor<i1>

  Value scalar(StringRef name, double fallback) {
    return ScalarOp::create(e.b, e.loc, e.scalarType(), ("optimizer." + name).str(), ScalarKind::recipe,
                            APFloat(fallback));
  }

  Value state(StringRef path, Type type, StringRef of) {
    auto zeros = InitAttr::get(e.b.getContext(), InitKind::constant);
    return StateOp::create(e.b, e.loc, type, path, StateKind::optimizer, zeros,
                           of.empty() ? StringAttr() : e.b.getStringAttr(of));
  }

  void assign(StringRef path, Value old, Value next) {
    Value keep = e.broadcast(finite, e.maskType(old), {});
    AssignOp::create(e.b, e.loc, path, e.select(keep, next, old), predicateName);
  }
};

constexpr StringRef sgdMomentum = "sgd.momentum:", adamM = "adam.m:",
                    adamV = "adam.v:", // of a parameter's path
    adamCorrection1 = "adam.correction1", adamCorrection2 = "adam.correction2";

// old + (target - old) * weight
Value approach(Emit e, Value old, Value target, Value weight) {
  return e.add(old, e.mul(e.sub(target, old), e.spread(weight, old)));
}

void sgd(Update &u, ArrayRef<ParameterOp> parameters, ValueRange gradients) {
  Emit e = u.e;
  Value rate = u.scalar("lr", 1e-3), momentum = u.scalar("momentum", 0), decay = u.scalar("weight_decay", 0);
  for (auto [of, gradient] : llvm::zip_equal(parameters, gradients)) {
    ParameterOp parameter = of;
    Value p = parameter.getY();
    std::string path = (sgdMomentum + parameter.getPath()).str();
    Value velocity = u.state(path, p.getType(), parameter.getPath());
    Value g = e.add(gradient, e.mul(p, e.spread(decay, p)));
    Value next = e.add(e.mul(velocity, e.spread(momentum, p)), g);
    u.assign(path, velocity, next);
    u.assign(parameter.getPath(), p, e.sub(p, e.mul(next, e.spread(rate, p))));
  }
}

void adam(Update &u, ArrayRef<ParameterOp> parameters, ValueRange gradients, bool decoupled) {
  Emit e = u.e;
  Value rate = u.scalar("lr", 1e-3), beta1 = u.scalar("beta1", 0.9), beta2 = u.scalar("beta2", 0.999);
  Value eps = u.scalar("eps", 1e-8), decay = u.scalar("weight_decay", decoupled ? 1e-2 : 0);
  Value fresh1 = e.subFrom(1, beta1), fresh2 = e.subFrom(1, beta2);
  auto correction = [&](StringRef path, Value beta, Value fresh) {
    Value old = u.state(path, e.scalarType(), "");
    Value next = e.add(e.mul(old, beta), fresh);
    u.assign(path, old, next);
    return next;
  };
  Value size = e.div(rate, correction(adamCorrection1, beta1, fresh1));
  Value root = e.sqrt(correction(adamCorrection2, beta2, fresh2));
  Value shrink = decoupled ? e.subFrom(1, e.mul(rate, decay)) : Value();

  for (auto [of, g] : llvm::zip_equal(parameters, gradients)) {
    ParameterOp parameter = of;
    Value p = parameter.getY();
    std::string mPath = (adamM + parameter.getPath()).str(), vPath = (adamV + parameter.getPath()).str();
    Value m = u.state(mPath, p.getType(), parameter.getPath());
    Value v = u.state(vPath, p.getType(), parameter.getPath());
    Value start = decoupled ? e.mul(p, e.spread(shrink, p)) : p;
    Value gradient = decoupled ? g : e.add(g, e.mul(p, e.spread(decay, p)));
    Value nextM = approach(e, m, gradient, fresh1);
    Value nextV = e.add(e.mul(v, e.spread(beta2, p)), e.mul(e.mul(gradient, gradient), e.spread(fresh2, p)));
    Value bound = e.add(e.div(e.sqrt(nextV), e.spread(root, p)), e.spread(eps, p));
    u.assign(mPath, m, nextM);
    u.assign(vPath, v, nextV);
    u.assign(parameter.getPath(), p, e.sub(start, e.div(e.mul(nextM, e.spread(size, p)), bound)));
  }
}

} // namespace

bool isOptimizerState(StringRef path) {
  return path == adamCorrection1 || path == adamCorrection2 || path.starts_with(sgdMomentum) ||
         path.starts_with(adamM) || path.starts_with(adamV);
}

ArrayRef<StringRef> optimizerNames() {
  static constexpr StringRef names[] = {"sgd", "adam", "adamw"};
  return names;
}

std::optional<OptimizerKind> parseOptimizerKind(StringRef name) {
  for (auto [index, known] : llvm::enumerate(optimizerNames()))
    if (name == known)
      return OptimizerKind(index);
  return std::nullopt;
}

void buildUpdate(OpBuilder &builder, Location location, OptimizerKind kind, Value loss,
                 ArrayRef<ParameterOp> parameters, ValueRange gradients, ArrayRef<Buffer> buffers) {
  Emit e{builder, location};
  Value squares = e.scalar(0);
  for (Value gradient : gradients)
    squares = e.add(squares, e.sumAll(e.mul(gradient, gradient)));
  Update update{e, e.both(e.isFinite(loss), e.isFinite(squares))};
  for (const Buffer &buffer : buffers) {
    // Their number, since a sum of large values is not finite either.
    Emit at{builder, buffer.at};
    Value bad = at.subFrom(1, at.toFloat(at.isFinite(buffer.next)));
    update.finite = at.both(update.finite, at.compare(Predicate::eq, at.sumAll(bad), 0));
  }
  OutputOp::create(builder, location, builder.getStringAttr(predicateName), e.toFloat(update.finite),
                   PartAttr::get(builder.getContext(), Part::update), UnitAttr());
  if (kind == OptimizerKind::sgd)
    sgd(update, parameters, gradients);
  else
    adam(update, parameters, gradients, kind == OptimizerKind::adamw);
  for (const Buffer &buffer : buffers) {
    update.e.loc = buffer.at;
    update.assign(buffer.path, buffer.old, buffer.next);
  }
}

} // namespace flow
