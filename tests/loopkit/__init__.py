"""What the tests share: the loop under test, traces, leak checks, raw peers and child processes."""
