//! Tells the linker where the finished programs find LibTorch, so that no `LD_LIBRARY_PATH` is needed.

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-env-changed=LIBTORCH");
    println!("cargo:rerun-if-changed=migrations");
    let here = env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
    let libtorch = env::var("LIBTORCH").unwrap_or_else(|_| format!("{here}/.libtorch"));
    // The user's own LibTorch comes first, or a fetched one would stand in its way.
    if Path::new(&libtorch) != Path::new(&here).join(".libtorch") {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{libtorch}/lib");
    }
    // target/release, target/release/deps (tests, benches), and a lib folder beside the binary (containers).
    for place in ["$ORIGIN/../../.libtorch/lib", "$ORIGIN/../../../.libtorch/lib", "$ORIGIN/lib", "$ORIGIN/../lib"] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{place}");
    }
    // No symbol of the CUDA half is named in our code: LibTorch finds it by its being loaded.
    if Path::new(&libtorch).join("lib/libtorch_cuda.so").exists() {
        println!("cargo:rustc-link-arg=-Wl,--no-as-needed,-L{libtorch}/lib,-ltorch_cuda,--as-needed");
    }
}
