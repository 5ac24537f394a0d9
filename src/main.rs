fn main() -> std::process::ExitCode {
    darkroom::cli::run()
}
