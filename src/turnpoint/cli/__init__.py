"""The command line: `turnpoint VERB`. One thin module per verb, imported only when its verb is given."""

from turnpoint.cli.main import main as main
