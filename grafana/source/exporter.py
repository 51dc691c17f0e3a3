"""Exporter: can the numbers be trusted, and what do they cost?"""

from .board import Board
from .common import freshness
from .queries import RANGE, RATE, count, gauge, of_exporters, per_minute, per_second, quantile, select
from .style import (
    BLUE,
    DARK_GREY,
    ORANGE,
    PER_MINUTE,
    SECONDS,
    SHARE,
    SKY,
    VERMILLION,
    Column,
    Query,
    course,
    figure,
    fixed,
    grid,
    heat,
    prop,
    thresholds,
)

NO_EXPORTER = "No exporter"
NOT_SHARED = "One process counts for itself"
GOOD = {"1": ("yes", BLUE), "0": ("no", VERMILLION)}
API = "agntix_exporter_api_requests_total"
LATENCY = "agntix_exporter_api_request_duration_seconds"
DELAY = "agntix_exporter_count_delay_seconds"
PENDING = "agntix_exporter_oldest_pending_timestamp_seconds"
LIMIT = "agntix_exporter_api_rate_limit"

# 0 while nothing waits, when the timestamp is absent; nothing without an exporter.
WAITING = f"clamp_min(time() - {gauge('min', PENDING)}, 0) or 0 * {gauge('max', 'agntix_exporter_catching_up')}"

def counted_by(title, about, metric, *, by="reason", things="Sessions", empty, width=12):
    """What was counted in the time range, by the values of one label."""
    queries = [Query(count(metric, by) + " > 0")]
    columns = [Column(by, by.capitalize()), Column("Value", things, decimals=0)]
    return grid(title, about, queries, columns, width=width, sort=things, empty=empty)


BOARD = Board(
    "agntix-exporter",
    "Can the numbers be trusted, and what do they cost? Health, backlog and delay, the API budget, deliveries, and the process.",
)
BOARD.top(
    freshness(width=4),
    figure(
        "Scraped",
        "Whether Prometheus reaches every chosen exporter.",
        [Query(f"min({of_exporters('up', RANGE)})")],
        empty="No such target",
        texts=GOOD,
    ),
    figure(
        "Exporters",
        "Exporters in the choice of job and instance; replicas that share their counts are one. Each exporter of one organization counts all "
        "of its sessions: with several of one organization chosen, the sums on all dashboards count each session that often. Choose one instance then.",
        [Query(gauge("count", "agntix_up"))],
        empty="None",
        steps=thresholds((None, BLUE), (2, ORANGE)),
    ),
    figure(
        "Oldest uncounted",
        "How long ago the longest-waiting session that is not counted yet has ended. 0: none waits. "
        "Sessions whose analysis is still to come are among them.",
        [Query(WAITING)],
        unit="dtdurations",
        empty=NO_EXPORTER,
        width=4,
        decimals=0,
        steps=thresholds((None, BLUE), (900, ORANGE), (3600, VERMILLION)),
    ),
    figure(
        "State writable",
        "Whether the last write to the state directory succeeded. If not, nothing is counted and webhooks are refused.",
        [Query(gauge("min", "agntix_exporter_state_writable"))],
        empty=NO_EXPORTER,
        texts=GOOD,
    ),
    figure(
        "Configuration in effect",
        "Whether the configuration and the web configuration that were last read are in effect. If not, one was refused and its older one still is.",
        [
            Query(
                f"min({of_exporters('agntix_exporter_config_last_reload_successful')}"
                f" or {of_exporters('agntix_exporter_web_config_last_reload_successful')})"
            )
        ],
        empty=NO_EXPORTER,
        texts=GOOD,
        width=4,
    ),
    figure(
        "Running for",
        "Since the exporter's last start; the youngest, if several are chosen.",
        [Query(f"time() - max({of_exporters('process_start_time_seconds')})")],
        unit="dtdurations",
        decimals=0,
        empty=NO_EXPORTER,
    ),
)
BOARD.row(
    "How complete and how fresh are the numbers?",
    course(
        "What waits to be counted?",
        "Sessions that are not counted yet. known: not yet fetched; open: still going on; ended: its analysis is waited for.",
        [Query(gauge("sum", "agntix_exporter_sessions_tracked", "stage"), "{{stage}}")],
        stack="normal",
        width=8,
        empty=NO_EXPORTER,
    )
    .override_by_name("known", [fixed(ORANGE)])
    .override_by_name("open", [fixed(SKY)])
    .override_by_name("ended", [fixed(BLUE)]),
    course(
        "How late are sessions counted?",
        "Time from the end of a session until it was counted: median and 90th percentile by the source that first told of it. Waiting for the "
        "analysis is part of it. A gap: none was counted.",
        [
            Query(quantile(0.5, DELAY, "source"), "median, {{source}}", step="1m"),
            Query(quantile(0.9, DELAY, "source"), "p90, {{source}}", step="1m"),
        ],
        unit=SECONDS,
        width=8,
        empty="Nothing was counted in this window",
    ),
    course(
        "How long has the oldest waited?",
        "Time since the longest-waiting uncounted session ended, and whether a backlog is being worked off.",
        [Query(WAITING, "oldest uncounted"), Query(gauge("max", "agntix_exporter_catching_up"), "catching up")],
        unit=SECONDS,
        width=8,
        empty=NO_EXPORTER,
    )
    .override_by_name("oldest uncounted", [fixed(BLUE)])
    .override_by_name(
        "catching up",
        [
            fixed(ORANGE),
            prop("unit", "bool_yes_no"),
            prop("custom.axisPlacement", "hidden"),
            prop("custom.fillOpacity", 25),
            prop("custom.lineWidth", 0),
            prop("max", 1),
        ],
    ),
    course(
        "Which source tells first?",
        "Sessions first heard of, a minute, by source.",
        [Query(per_minute("agntix_exporter_sessions_discovered_total", "source"), "{{source}}")],
        unit=PER_MINUTE,
        stack="normal",
        width=8,
        empty=NO_EXPORTER,
    ),
    course(
        "When did each source last succeed?",
        "Time since this source last gave its news without an error.",
        [
            Query(
                f"clamp_min(time() - {gauge('max', 'agntix_exporter_source_last_success_timestamp_seconds', 'source')}, 0)",
                "{{source}}",
            )
        ],
        unit=SECONDS,
        width=8,
        empty="No source has succeeded yet",
    ),
    heat(
        "How is the delay spread?",
        "Time from end to count: each cell holds the sessions of one step that were counted within the time on the left.",
        Query(f"sum by (le) (increase({select(DELAY + '_bucket')}[{RATE}]))", "{{le}}", step="1m"),
        width=8,
        empty="Nothing was counted in this window",
    ),
)
BOARD.row(
    "What does it cost?",
    course(
        "Is there budget left?",
        "The organization's API requests a minute as the API states them, what is left in the current minute, and what this exporter uses. "
        "Its share is bounded by api.budget_share.",
        [
            Query(gauge("max", LIMIT), "limit"),
            Query(gauge("min", LIMIT + "_remaining"), "left"),
            Query(per_minute(API), "used by the exporter"),
        ],
        width=8,
        unit=PER_MINUTE,
        empty="The API states no limit",
    )
    .override_by_name("limit", [fixed(DARK_GREY), prop("custom.lineStyle", {"fill": "dash", "dash": [10, 10]})])
    .override_by_name("left", [fixed(SKY)])
    .override_by_name("used by the exporter", [fixed(ORANGE)]),
    course(
        "What is asked of the API?",
        "Requests a minute by route.",
        [Query(per_minute(API, "route"), "{{route}}")],
        unit=PER_MINUTE,
        stack="normal",
        width=8,
        empty=NO_EXPORTER,
    ),
    course(
        "What fails?",
        "Requests a minute whose status is not a success. timeout, connect and body: there was no whole answer. 429: the organization's budget "
        "is used up.",
        [Query(per_minute(API, "route, code", 'code!~"2.."'), "{{route}} {{code}}")],
        unit=PER_MINUTE,
        bars=True,
        width=8,
        empty="No request has failed",
    ),
    course(
        "How fast does the API answer?",
        "Median and 99th percentile of the time until the whole answer is there, by route.",
        [
            Query(quantile(0.5, LATENCY, "route"), "median, {{route}}", step="1m"),
            Query(quantile(0.99, LATENCY, "route"), "p99, {{route}}", step="1m"),
        ],
        unit=SECONDS,
        width=8,
        empty="No request in this window",
    ),
    course(
        "Is it throttled?",
        "Share of the time in which due requests waited for the budget or for the API's Retry-After.",
        [Query(per_second("agntix_exporter_api_throttled_seconds_total", "instance"), "{{instance}}")],
        room=False,
        unit=SHARE,
        width=8,
        empty=NO_EXPORTER,
        decimals=1,
    ).axis_soft_max(0.1),
    figure(
        "Requests for each counted session",
        "Requests to the API over the sessions counted, in the time range. Webhooks with whole sessions bring it down.",
        [Query(f"{count(API)} / ({count(DELAY + '_count')} > 0)")],
        decimals=1,
        width=8,
        height=8,
        empty="Nothing was counted in this window",
    ),
)
BOARD.row(
    "Deliveries and defects",
    course(
        "What becomes of deliveries?",
        "Webhook deliveries a minute by event and outcome; what is not counted, pending, known or ignored was refused.",
        [
            Query(
                per_minute("agntix_exporter_webhook_deliveries_total", "event, outcome") + " > 0",
                "{{event}} {{outcome}}",
            )
        ],
        unit=PER_MINUTE,
        width=8,
        empty="No delivery; is the webhook enabled?",
    ),
    figure(
        "Missed by webhooks",
        "Sessions counted by polling in the time range that no delivery had told of, although the webhook is enabled.",
        [Query(count("agntix_exporter_webhook_missed_sessions_total"))],
        width=4,
        height=8,
        empty="None",
        steps=thresholds((None, BLUE), (1, ORANGE)),
    ),
    counted_by(
        "What made no sense?",
        "Answers about sessions in which something was left out, by reason, in the time range.",
        "agntix_exporter_malformed_sessions_total",
        things="Answers",
        width=6,
        empty="Everything made sense",
    ),
    counted_by(
        "Which labels overflow?",
        "Sessions counted under other because a label had reached metrics.max_label_values or metrics.max_agents.",
        "agntix_exporter_label_overflow_total",
        by="label",
        width=6,
        empty="None",
    ),
    counted_by(
        "Whose messages were not read?",
        "Sessions whose messages are not in the numbers of Conversation, by reason: the budget left no room, reading failed, or there are too many.",
        "agntix_exporter_messages_skipped_total",
        empty="All were read, or messages.enabled is off",
    ),
    counted_by(
        "Which customers are left out?",
        "Sessions that are held against no earlier one of the same customer, by reason: too many share the number.",
        "agntix_exporter_repeat_contacts_skipped_total",
        empty="None, or metrics.repeat_contacts is not set",
    ),
)
BOARD.row(
    "Replicas that share their counts",
    figure(
        "Replicas",
        "Replicas that the database has heard of lately; empty if the exporter keeps its counts in a directory of its own. One of them counts, all "
        "of them take deliveries and serve the same page.",
        [Query(gauge("max", "agntix_exporter_replicas"))],
        width=3,
        height=8,
        empty=NOT_SHARED,
        steps=thresholds((None, ORANGE), (2, BLUE)),
    ),
    figure(
        "Synchronous",
        "Whether the database acknowledges a commit only when a standby has it as well, by its settings. A managed database may be durable in "
        "another way.",
        [Query(gauge("min", "agntix_exporter_ledger_synchronous"))],
        width=3,
        height=8,
        empty=NOT_SHARED,
        texts={"1": ("yes", BLUE), "0": ("no", ORANGE)},
    ),
    figure(
        "Commits lost",
        "How often, in the time range, commits that the database had acknowledged were not in it any more, as the replica saw it that saw most.",
        [Query(f"max(increase({select('agntix_exporter_ledger_regressions_total')}[{RANGE}]))")],
        width=3,
        height=8,
        empty=NOT_SHARED,
        steps=thresholds((None, BLUE), (1, VERMILLION)),
    ),
    figure(
        "Sessions lost",
        "Ended sessions, in the time range, that had been counted and that the database lost for good.",
        [Query(f"max(increase({select('agntix_exporter_ledger_lost_sessions_total')}[{RANGE}]))")],
        width=3,
        height=8,
        empty=NOT_SHARED,
        steps=thresholds((None, BLUE), (1, VERMILLION)),
    ),
    figure(
        "Commits made again",
        "Commits, in the time range, that the database had lost and that the replicas committed again.",
        [Query(count("agntix_exporter_ledger_replayed_commits_total"))],
        width=4,
        height=8,
        empty=NOT_SHARED,
        steps=thresholds((None, BLUE), (1, ORANGE)),
    ),
    course(
        "Who counts?",
        "1 for the replica that counts, 0 for those that follow. None at 1: nobody counts. A replica that is missing cannot be scraped.",
        [Query(select("agntix_exporter_active"), "{{instance}}")],
        width=8,
        decimals=0,
        empty=NOT_SHARED,
        room=False,
    ),
    course(
        "Who can use the database?",
        "1 for a replica whose last look or commit succeeded. At 0 it serves no page and takes no deliveries.",
        [
            Query(
                f"{select('agntix_exporter_state_writable')} and on (job, instance) {select('agntix_exporter_active')}",
                "{{instance}}",
            )
        ],
        width=8,
        decimals=0,
        empty=NOT_SHARED,
        room=False,
    ),
    course(
        "What waits in the inbox?",
        "Deliveries that are acknowledged and still to be counted. The replica that counts empties it every half second.",
        [Query(gauge("max", "agntix_exporter_inbox_deliveries"), "deliveries")],
        width=8,
        decimals=0,
        empty=NOT_SHARED,
    ),
    course(
        "How long does a look into the database take?",
        "Median and 99th percentile of the time to read what is new, by replica: each scrape of one that does not count waits for it.",
        [
            Query(quantile(0.5, "agntix_exporter_ledger_read_seconds", "instance"), "median, {{instance}}", step="1m"),
            Query(quantile(0.99, "agntix_exporter_ledger_read_seconds", "instance"), "p99, {{instance}}", step="1m"),
        ],
        unit=SECONDS,
        width=8,
        empty=NOT_SHARED,
    ),
    folded=True,
)
BOARD.row(
    "The process",
    course(
        "Memory",
        "Resident memory.",
        [Query(of_exporters("process_resident_memory_bytes"), "{{instance}}")],
        unit="bytes",
        width=8,
        empty=NO_EXPORTER,
    ),
    course(
        "CPU",
        "Seconds of CPU time a second; 1 is one core.",
        [
            Query(
                f"rate({select('process_cpu_seconds_total')}[{RATE}]) and on (job, instance) {select('agntix_exporter_build_info')}",
                "{{instance}}",
            )
        ],
        room=False,
        unit=SHARE,
        width=8,
        empty=NO_EXPORTER,
    ),
    course(
        "Open files",
        "File descriptors in use, of those that the process may have.",
        [Query(f"{select('process_open_fds')} / ({of_exporters('process_max_fds')})", "{{instance}}")],
        width=8,
        unit=SHARE,
        empty=NO_EXPORTER,
        room=False,
    ),
    course(
        "How long does a scrape take?",
        "Time that Prometheus needs for a scrape.",
        [Query(of_exporters("scrape_duration_seconds", RANGE), "{{instance}}")],
        unit=SECONDS,
        width=8,
        empty=NO_EXPORTER,
    ),
    course(
        "How many samples does a scrape bring?",
        "Samples on the page: the series that Prometheus stores.",
        [Query(of_exporters("scrape_samples_scraped", RANGE), "{{instance}}")],
        width=8,
        decimals=0,
        empty=NO_EXPORTER,
    ),
    course(
        "Does it keep what it counts?",
        "Commits to the state directory, a second, by outcome.",
        [Query(per_second("agntix_exporter_state_commits_total", "outcome"), "{{outcome}}")],
        unit="ops",
        width=8,
        empty=NO_EXPORTER,
    )
    .override_by_name("success", [fixed(BLUE)])
    .override_by_name("error", [fixed(VERMILLION)]),
    grid(
        "Which version?",
        "Each exporter and its version.",
        [Query(select("agntix_exporter_build_info"))],
        [
            Column("job", "Job"),
            Column("instance", "Instance"),
            Column("version", "Version"),
            Column("revision", "Revision"),
            Column("rustc", "Compiler"),
            Column("target", "Target"),
            Column("Value", "Value", hidden=True),
            Column("__name__", "Name", hidden=True),
        ],
        width=24,
        height=5,
        empty=NO_EXPORTER,
    ),
    folded=True,
)
