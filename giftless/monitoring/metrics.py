"""Everything that a worker counts, by name.

The values of labels are few and fixed: templates of routes, methods, statuses, causes,
types of the configuration.  No client can choose one, and no repository, object or
person is named.
"""

from __future__ import annotations

from typing import Final, Literal

from giftless.base.metrics.counts import Counts
from giftless.interfaces import FillOutcome, Lookup

#: Bounds for how long requests take, in seconds: from a question to a long transfer.
HTTP_SECONDS: Final = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0),
)

#: The same for what a store is asked.
STORE_SECONDS: Final = (0.0005, *HTTP_SECONDS[:-1])

#: Bounds for sizes of objects, in bytes: from 1 KiB, each four times the one before.
SIZES: Final = tuple(1024.0 * 4**power for power in range(13))


class Metrics:
    """The families of a worker.

    :param counts: where they are counted.
    """

    def __init__(self, counts: Counts) -> None:
        counter, gauge, histogram = counts.counter, counts.gauge, counts.histogram
        self.http_requests = counter(
            "giftless_http_requests_total",
            "Requests, by the template of their route ('none' if they have none), method and"
            " status; 499 if the client left before the response was complete.",
            *("route", "method", "status"),
        )
        self.http_seconds = histogram(
            "giftless_http_request_duration_seconds",
            "How long requests took, from the end of their headers to that of the response.",
            HTTP_SECONDS,
            *("route", "method"),
        )
        self.ssh_sessions = gauge(
            "giftless_ssh_sessions", "Sessions of git-lfs-transfer that are open."
        )
        self.ssh_requests = counter(
            "giftless_ssh_requests_total",
            "Requests in such sessions, by command and status; 499 if the client left before"
            " the reply was complete.",
            *("command", "status"),
        )
        self.ssh_seconds = histogram(
            "giftless_ssh_request_duration_seconds",
            "How long they took, from the end of their lines to that of the reply.",
            HTTP_SECONDS,
            "command",
        )
        self.batches = counter(
            "giftless_batches_total",
            "Batches that were answered, by operation and transfer.",
            *("operation", "transfer"),
        )
        self.batch_objects = counter(
            "giftless_batch_objects_total",
            "Objects of batches: 'transfer' got actions, 'present' were there, or 'refused'.",
            *("operation", "result"),
        )
        self.bytes = counter(
            "giftless_transfer_bytes_total",
            "Bytes of objects that were stored or served; those of transfer 'direct' never"
            " passed through the server and are counted when the client has them verified.",
            *("direction", "transfer"),
        )
        self.sizes = histogram(
            "giftless_object_size_bytes",
            "Sizes of the objects that were stored.",
            SIZES,
            "transfer",
        )
        self.incomplete = counter(
            "giftless_downloads_incomplete_total",
            "Downloads that ended before the client had all that it asked for.",
        )
        self.refusals = counter(
            "giftless_refusals_total",
            "Requests and objects of batches that were refused or failed, by cause.",
            "cause",
        )
        self.locks = counter(
            "giftless_lock_changes_total",
            "Locks that were created, released by their owner, or forced by somebody else.",
            "change",
        )
        self.deleted = counter(
            "giftless_objects_deleted_total", "Objects that were deleted for good."
        )
        self.trashed = counter(
            "giftless_objects_trashed_total", "Objects that were moved into the trash."
        )
        self.restored = counter(
            "giftless_objects_restored_total", "Objects that were brought back from the trash."
        )
        self.marked = counter(
            "giftless_objects_damaged_total", "Objects that were marked as damaged."
        )
        self.scrub_objects = counter(
            "giftless_scrub_objects_total", "Objects that the scrub has examined."
        )
        self.scrub_bytes = counter("giftless_scrub_read_bytes_total", "Bytes that it has read.")
        self.scrub_passes = counter(
            "giftless_scrub_passes_total", "How often it has examined everything that is stored."
        )
        self.scrub_findings = counter(
            "giftless_scrub_findings_total",
            "Objects that it found not to be well, by outcome.",
            "outcome",
        )
        self.authentications = counter(
            "giftless_auth_requests_total",
            "Credentials (or their absence) that an authenticator accepted or refused, or"
            " failed to check.",
            *("authenticator", "result"),
        )
        self.cache_requests = counter(
            "giftless_cache_requests_total",
            "Looks into a cache: 'hit' found the answer, 'shared' somebody who was asking for"
            " it, 'miss' nothing.",
            *("cache", "result"),
        )
        self.cached_bytes = counter(
            "giftless_object_cache_bytes_total",
            "Bytes of objects that were sent from the disk of a cache, or fetched from the store"
            " behind it.",
            "source",
        )
        self.cache_fills = counter(
            "giftless_object_cache_fills_total",
            "Objects that were to be copied into a cache, by how that ended: 'kept', or why not.",
            "outcome",
        )
        self.cache_removals = counter(
            "giftless_object_cache_removals_total",
            "Objects that were removed from a cache: 'evicted' to make room, or 'damaged'.",
            "reason",
        )
        self.store_requests = counter(
            "giftless_store_requests_total",
            "What the store was asked, by outcome: 'ok', or the cause of a refusal or failure.",
            *("backend", "operation", "outcome"),
        )
        self.store_seconds = histogram(
            "giftless_store_request_duration_seconds",
            "How long that took; a 'put' lasts as long as the client sends.",
            STORE_SECONDS,
            *("backend", "operation"),
        )
        self.uploads = gauge(
            "giftless_uploads_in_progress", "Objects and parts that are being stored now."
        )

    def count_lookup(self, cache: str, result: Lookup) -> None:
        """See :class:`giftless.interfaces.Environment`."""
        self.cache_requests.add((cache, result))

    def cache_read(self, source: Literal["disk", "store"], count: int) -> None:
        """See :class:`giftless.interfaces.CacheCounts`."""
        self.cached_bytes.add((source,), count)

    def cache_filled(self, outcome: FillOutcome) -> None:
        """See :class:`giftless.interfaces.CacheCounts`."""
        self.cache_fills.add((outcome,))

    def cache_removed(self, reason: Literal["evicted", "damaged"], count: int) -> None:
        """See :class:`giftless.interfaces.CacheCounts`."""
        self.cache_removals.add((reason,), count)
