"""`python -m piped` is the command `piped`."""

from piped.app.main import main

if __name__ == "__main__":
    main()
