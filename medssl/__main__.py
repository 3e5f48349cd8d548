"""`python -m medssl` is the command line."""

from medssl.cli import main

if __name__ == "__main__":
    main()
