"""`python -m kdscope` is `kdscope`."""

from kdscope.cli import main

if __name__ == "__main__":
    main()
