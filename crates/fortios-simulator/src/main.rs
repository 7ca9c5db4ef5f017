//! The simulator as a program.

fn main() -> anyhow::Result<()> {
    fortios_simulator::cli::run()
}
