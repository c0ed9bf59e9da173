"""What every room uses: errors a person reads, seeds, and file operations that survive a crash."""
