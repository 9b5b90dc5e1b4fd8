"""The `firmcast` command."""


def main() -> None:
    """Run the command line."""
    from firmcast.cli.main import run

    run()


if __name__ == "__main__":
    main()
