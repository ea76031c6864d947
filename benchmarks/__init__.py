"""What the system can do, measured beside what the machine can do; `python -m benchmarks` writes docs/benchmarks.md."""
