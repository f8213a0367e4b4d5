"""How work runs: progress and stop, devices and threads, pools of processes."""
