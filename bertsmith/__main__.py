"""`python -m bertsmith`, also under torchrun."""

from bertsmith.cli import main

if __name__ == "__main__":
    main()
