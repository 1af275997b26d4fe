//! The migrations are compiled in: a new one must make the program be built again.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
