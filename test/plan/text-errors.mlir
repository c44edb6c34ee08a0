// What the plan dialect refuses, at the line that is wrong.
// RUN: moe-opt %s --split-input-file --verify-diagnostics

plan.program "p" config {} {
  // expected-error @+1 {{expected extents of at least 1, found 0}}
  state "w" parameter f32[0, 4] constant(0.0, 0.0) stream 0
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 2147483647 {
    // expected-note @+1 {{the kernel is declared here}}
    kernel @k "loop" (read f32)
    plan "main" {
      %0 = buffer input "x" f32[D]
      // expected-error @+1 {{expected 1 buffers, found 2}}
      launch @k(%0[1], %0[1]) [] units 1 op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 2147483647 {
    // expected-note @+1 {{the kernel is declared here}}
    kernel @k "loop" (read f32) scalars 1
    plan "main" {
      %0 = buffer input "x" f32[D]
      // expected-error @+1 {{expected 1 scalars, found 0}}
      launch @k(%0[1]) [] units 1 op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 2147483647 {
    kernel @k "loop" (write f32)
    plan "main" {
      %0 = buffer input "x" f32[D]
      // expected-error @+1 {{expected a writable buffer as buffer 0, found an input}}
      launch @k(%0[1]) [] units 1 op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 2147483647 {
    kernel @k "loop" (write f32)
    plan "main" {
      %0 = buffer temporary i32[D] live [0, 0]
      // expected-error @+1 {{expected f32 as buffer 0, found i32}}
      launch @k(%0[1]) [] units 1 op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 2147483647 {
    plan "main" {
      // expected-error @+1 {{expected a kernel of the target, found @gone}}
      launch @gone() [] units 1 op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 2147483647 {
    kernel @k "loop" (write f32)
    plan "main" {
      // expected-note @+1 {{this one lives from 0 to 0}}
      %0 = buffer temporary f32[D] live [0, 0]
      launch @k(%0[1]) [] units 1 op "" path "" from "" flops 0 bytes 0
      // expected-error @+1 {{expected launch 1 inside the lifetimes of its temporaries}}
      launch @k(%0[1]) [] units 1 op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 2147483647 {
    kernel @k "loop" (write f32)
    plan "main" {
      %0 = buffer temporary f32[D] live [0, 1]
      launch @k(%0[1]) [] units 1 op "" path "" from "" flops 0 bytes 0
      // expected-error @+1 {{expected prepare launches before those of the step}}
      launch prepare @k(%0[1]) [] units 1 op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 2147483647 {
    plan "main" {
      // expected-error @+1 {{expected a lifetime for a temporary, and for nothing else}}
      %0 = buffer temporary f32[D]
    }
  }
}
// -----
plan.program "p" config {} {
  // expected-error @+1 {{expected an integer, D, N or '(' in a size}}
  entry "main" infer flops 0.0 inputs ("x" f32[D * M]) outputs ()
}
// -----
plan.program "p" config {} {
  // expected-error @+1 {{expected an element type, found 'f16'}}
  entry "main" infer flops 0.0 inputs ("x" f16[D]) outputs ()
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 2147483647 {
    // expected-error @+1 {{expected 'over' from a written parameter to a read one of its type, found over 0}}
    kernel @k "loop" (write f32, write f32 over 0)
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 2147483647 {
    kernel @k "loop" (read f32, write f32)
    plan "main" {
      %0 = buffer temporary f32[D] live [0, 0]
      // expected-error @+1 {{expected buffer 1, which is written, to be no other, found it as buffer 0}}
      launch @k(%0[1], %0[1]) [] units 1 op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 2147483647 {
    kernel @k "loop" (write f32)
    plan "main" {
      %0 = buffer temporary f32[D] live [0, 0]
      // expected-error @+1 {{expected 0 to 2147483647 units of work, found 2147483648}}
      launch @k(%0[1]) [] units 2147483648 op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 2147483647 {
    kernel @k "loop" (write f32)
    plan "main" {
      %0 = buffer temporary f32[D] live [0, 0]
      // expected-error @+1 {{expected a grain of at least 1, found 0}}
      launch @k(%0[1]) [] units 1 grain 0 op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 2147483647 {
    kernel @k "loop" (write f32)
    plan "main" {
      // expected-note @+1 {{prepare made this one}}
      %0 = buffer temporary f32[D] live [0, 1]
      launch prepare @k(%0[1]) [] units 1 op "" path "" from "" flops 0 bytes 0
      // expected-error @+1 {{expected a step to read what prepare made for all steps, found it written as buffer 0}}
      launch @k(%0[1]) [] units 1 op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cuda "cuda" level "sm_90a" features [] elements 8 {
    kernel @k "loop" (write f32) scalars [value, cell] threads 32
    plan "main" {
      %0 = buffer temporary f32[D] live [0, 0]
      // expected-error @+1 {{expected a grid and blocks of three axes}}
      launch @k(%0[1]) [seed_i64, seed_i64] grid [1, 1] block [1, 1, 1] shared 0 op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 8 {
    plan "main" {
      %0 = buffer temporary f32[D] live [0, 0]
      %1 = buffer temporary i32[D] live [0, 0]
      // expected-error @+1 {{expected a copy between buffers of one element type}}
      launch(%0[1], %1[1]) [] copy op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 8 {
    plan "main" {
      %0 = buffer temporary f32[D] live [0, 0]
      // expected-error @+1 {{expected a copy of as many elements as it writes, to another buffer}}
      launch(%0[1], %0[1]) [] copy op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 8 {
    plan "main" {
      %0 = buffer temporary f32[D] live [0, 0]
      // expected-error @+1 {{expected a fill of one buffer, without scalars}}
      launch(%0[1]) [seed_i64] fill 0 op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 8 {
    kernel @k "loop" (write f32)
    plan "main" {
      %0 = buffer temporary f32[D] live [0, 0]
      // expected-error @+1 {{expected no kernel of a copy or fill}}
      launch @k(%0[1]) [] fill 0 op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 8 {
    plan "main" {
      %0 = buffer temporary f32[D] live [0, 0]
      // expected-error @+1 {{expected a kernel to run}}
      launch(%0[1]) [] units 1 op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 8 {
    plan "main" {
      %0 = buffer temporary f32[D] live [0, 0]
      // expected-error @+1 {{expected 'units', 'grid', 'copy' or 'fill': what the launch does}}
      launch(%0[1]) [] move op "" path "" from "" flops 0 bytes 0
    }
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 8 {
    // expected-error @+1 {{expected at most 4096 scalars, found 4097}}
    kernel @k "loop" (write f32) scalars 4097
  }
}
// -----
// Lists in the generic form hold what they are lists of.
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 2147483647 {
    // expected-error @+1 {{attribute 'scalars' failed to satisfy constraint: a list of scalar parameters}}
    "plan.kernel"() <{kind = "loop", params = [], scalars = [1 : i32], sym_name = "k"}> : () -> ()
  }
}
// -----
plan.program "p" config {} {
  target cpu "cpu" level "x" features [] elements 2147483647 {
    // expected-error @+1 {{attribute 'params' failed to satisfy constraint: a list of parameters}}
    "plan.kernel"() <{kind = "loop", params = ["f32"], scalars = [], sym_name = "k"}> : () -> ()
  }
}
