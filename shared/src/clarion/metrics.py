"""What Clarion counts, under the names that dashboards and alerts use (prometheus_client)."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

SENT = Counter(
    "notifications_sent_total",
    "Attempts that ended, by the status they left: sent, retrying, in_doubt or failed.",
    ["channel", "status"],
)
SEND_DURATION = Histogram(
    "notification_send_duration_ms",
    "How long the provider took to answer.",
    ["channel"],
    buckets=(5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 15000, 30000),
)
RETRIES = Counter(
    "notification_retries_total", "Attempts put off, by reason.", ["channel", "reason"]
)
DUPLICATES = Counter(
    "notification_duplicates_absorbed_total",
    "Messages that found their notification finished and were acknowledged unsent.",
    ["channel"],
)
DEAD_LETTERS = Counter(
    "notification_dead_letters_total", "Notifications given up, by reason.", ["channel", "reason"]
)
REPLAYS = Counter(
    "notification_replays_total", "Dead letters that an operator had sent again.", ["channel"]
)
IN_FLIGHT = Gauge(
    "notifications_in_flight", "Messages that this worker holds unsettled.", ["channel"]
)
CIRCUIT_STATE = Gauge(
    "notification_circuit_state",
    "Whether the provider is called: 0 closed (yes), 1 half open (to try it), 2 open (no).",
    ["channel"],
)
CIRCUIT_OPENINGS = Counter(
    "notification_circuit_openings_total",
    "How often the provider's faults, or failed probes, stopped the calls to it.",
    ["channel"],
)
PROVIDER_RATE = Gauge(
    "notification_provider_rate",
    "Calls a second that this worker makes at most; +Inf without a limit.",
    ["channel"],
)
ACCEPTED = Counter(
    "notifications_accepted_total",
    "Notifications stored by the gateway, and repeats it recognised.",
    ["channel", "duplicate"],
)
PUBLISHED = Counter(
    "notifications_published_total", "Notifications the broker confirmed, by lane.", ["lane"]
)
QUEUE_DEPTH = Gauge("notification_queue_depth", "Messages ready in a lane.", ["lane"])
QUEUE_AGE = Gauge(
    "notification_queue_age_seconds",
    "How long the oldest queued notification has waited.",
    ["lane"],
)
DEAD_DEPTH = Gauge("notification_dead_letter_depth", "Messages parked for people.", ["channel"])
DEAD = Gauge(
    "notifications_dead", "Failed or held in doubt, neither replayed nor discarded.", ["channel"]
)
DELAYED = Gauge("notification_delayed_depth", "Messages that wait for a retry.")
UNPUBLISHED = Gauge("notifications_unpublished", "Accepted notifications the broker does not have.")
BATCH_ROWS = Histogram(
    "store_batch_rows",
    "Rows that shared one write.",
    ["operation"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
)
INBOUND = Counter(
    "notification_inbound_total",
    "What persons wrote, by what came of it: noted, stop, start, duplicate, or ignored where it is "
    "no message of a person's.",
    ["provider", "result"],
)
INQUIRIES = Counter(
    "notification_inquiries_total",
    "Messages that a provider was asked about, by what came of it: settled, unchanged, unknown to "
    "the provider, or failed.",
    ["provider", "result"],
)
RECEIPTS = Counter(
    "notification_receipts_total",
    "What providers told, by what became of it: moved, noted, duplicate, unknown or refused; or "
    "why it was none: unreadable, unknown_type or not_ours.",
    ["provider", "result"],
)
EVENTS_PUBLISHED = Counter(
    "notification_status_events_total",
    "Changes of status that the broker confirmed on notifications.events; a repeat counts again.",
    ["channel", "status"],
)
EVENTS_HELD = Counter(
    "notification_status_events_held_total",
    "Times that a queue bound to notifications.events had no room for a change of status.",
)
EVENTS_AGE = Gauge(
    "notification_status_events_age_seconds",
    "How long the oldest change of status has waited to be told; 0 when none waits.",
)
CALLBACKS = Counter(
    "notification_callbacks_total",
    "Calls to applications, by what became of them: made, failed (made again later) or given_up.",
    ["key", "result"],
)
CALLBACKS_WAITING = Gauge(
    "notification_callbacks_waiting",
    "Status events that an application has not taken yet, counted up to 10,000.",
    ["key"],
)
CALLBACKS_DEAD = Gauge(
    "notification_callbacks_dead",
    "Status events given up after a day of calls, and not replayed; counted up to 10,000.",
    ["key"],
)
