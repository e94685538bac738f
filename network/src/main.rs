//! `skerry-network`: see the library of the same room.

fn main() -> std::process::ExitCode {
    network::main()
}
