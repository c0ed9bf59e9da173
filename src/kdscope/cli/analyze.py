"""Statistics of runs and of tables of results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from kdscope.cli.application import (
    DiscordanceOption,
    ExtensionsOption,
    JsonOption,
    PilotOption,
    RunSdOption,
    app,
    one_of,
    options_named,
    options_of,
)
from kdscope.cli.printing import print_table
from kdscope.results.column_names import AVERAGE


@app.command()
def analyze(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="The folder of a run, or a tidy table of results (CSV, TSV or parquet): student, method, task, value."
        ),
    ] = None,
    published: Annotated[
        str | None, typer.Option("--published", help="A published study instead: ramesh2025 (arXiv 2505.15442).")
    ] = None,
    protocol: Annotated[
        str, typer.Option("--protocol", help="rigorous, or published: the paper's tests as its authors ran them.")
    ] = "rigorous",
    unit: Annotated[str, typer.Option("--unit", help="Unit of the values: auto, percent or fraction.")] = "auto",
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", help="Of the primary question, chosen before looking. Default: the run's own, or 1."
        ),
    ] = None,
    margin: Annotated[
        float | None,
        typer.Option("--margin", help="Methods closer than this many points count as equal. Default: the run's, or 1."),
    ] = None,
    run_sd: RunSdOption = None,
    discordance: DiscordanceOption = None,
    pilot: PilotOption = None,
    extensions: ExtensionsOption = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for statistics.csv and more.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a run or a table of results allows to conclude, and the questions H1 to H5 of arXiv 2505.15442.

    A run is analysed item by item, with its own primary temperature and margin unless others are told. A table has a
    row for every student, method and task, with its value; teacher, temperature, seed, domain and metric are optional
    columns. Gains are those over the student's row with method sft.

    Where every setting was trained once, nothing can be said of methods: --run-sd, or a pilot with several seeds, tells
    how much training runs vary. A table with the column items, or item_stderr as kdscope writes it, has the choice of
    items in its intervals too.
    """
    from kdscope import api
    from kdscope.core.extensions import load_extensions

    load_extensions(extensions or ())
    choices: Any = {
        "protocol": one_of("--protocol", protocol, ("rigorous", "published")),
        "unit": one_of("--unit", unit, ("auto", "percent", "fraction")),
    }
    noise: Any = {"run_sd": run_sd, "discordance": discordance, "pilot": pilot}
    with options_named(options_of("temperature", "margin", "run_sd", "discordance")):
        found = api.analyze_table(
            path, published=published, temperature=temperature, margin=margin, out=out, **noise, **choices
        )
    if as_json:
        tables = {"statistics": found.statistics, "claims": found.claims, "abstract": found.abstract}
        tables["verdicts"] = found.verdicts
        told = {name: json.loads(t.to_json(orient="records")) for name, t in tables.items() if t is not None}
        print(json.dumps({**told, "warnings": list(found.warnings)}))
        return
    for warning in found.warnings:
        print(f"warning: {warning}")
    if found.verdicts is not None:
        _print_verdicts(found.verdicts)
    (_print_tests if protocol == "published" else _print_sentences)(found.statistics)
    if len(found.claims):
        _print_claims(found.claims)
    if found.abstract is not None:
        _print_abstract(found.abstract)
    for file in found.files:
        print(f"written: {file}")


def _print_sentences(statistics: Any) -> None:
    """The primary question first; what explores, after it; details are in the file."""
    from kdscope.protocols.sentences import sentence

    titles = {
        "confirmatory": "The primary question: does each student gain over SFT?",
        "exploratory": "Exploratory: other questions to the same data",
        "sensitivity": "The same with other choices",
    }
    for role, title in titles.items():
        rows = statistics[statistics["role"] == role].to_dict("records")
        if rows:
            print(f"\n{title}")
        for row in rows:
            print(f"- {sentence(row)}")


def _print_verdicts(verdicts: Any) -> None:
    from kdscope.protocols.published_claims import HEADINGS, verdict_row

    print("What the study claims, by its own test and by one that holds its level:")
    rows = [[str(row["domain"]), *verdict_row(row)] for row in verdicts.to_dict("records")]
    print_table(["domain", *HEADINGS], rows, right=set(range(3, 10)))


def _print_claims(claims: Any) -> None:
    print("\nDescribed, not tested (the best temperature of each cell, means over tasks, as published):")
    rows = [
        [r["domain"], r["claim"].replace("_", " "), r["subject"], r["task"], f"{r['value']:+.2f}", str(r["n"])]
        for r in claims.to_dict("records")
    ]
    print_table(["domain", "claim", "of", "task", "points", "n"], rows, right={4, 5})


def _print_abstract(abstract: Any) -> None:
    print("\nWhat the abstract says, and what its tables give under each reading:")
    told = abstract.assign(
        published=abstract["published"].map("{:g}".format),
        value=abstract["value"].map("{:.2f}".format),
        agrees=abstract["agrees"].map({True: "yes", False: "no"}),
    )
    columns = ["statement", "published", "domain", "reading", "value", "agrees"]
    print_table(columns, told[columns].values.tolist(), right={1, 4})


def _print_tests(statistics: Any) -> None:
    from kdscope.results.formatting import format_p

    print("\nThe published tests on the average over tasks (all tasks with --out or --json):")
    average = statistics[statistics["task"] == AVERAGE]
    told = average.assign(
        statistic=average["statistic"].map("{:.3f}".format),
        p_value=[format_p(p) if p == p else "-" for p in average["p_value"]],
        n=average["n"].map(str),
    )
    columns = ["domain", "hypothesis", "group", "test", "statistic", "p_value", "n"]
    print_table(columns, told[columns].values.tolist(), right={4, 5, 6})
    print(
        "\nThese are the tests as published: cells are maxima over temperatures and count as independent, and no "
        "p-value is adjusted for their number. They reject more often than their level says."
    )
