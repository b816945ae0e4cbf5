"""Lists of objects as Google documents them, which fake-gcs-server has in JSON only.

The front (``tests/support/gcs.py``) has verified who asks.  None of it is Google:
parameters and XML are as in Cloud Storage's reference, "List objects" of the
XML API, version 2.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote_plus

from tests.support.gcs_parts import MAX_LISTED, Refusal, xml


def list_objects(
    bucket: str, items: Sequence[Mapping[str, Any]], query: Mapping[str, str]
) -> bytes:
    """Answer with one page of a list.

    :param items: all objects of the bucket, as the JSON API describes them.
    """
    prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
    last = max(_last(query.get("continuation-token", "")), query.get("start-after", ""))
    limit = min(int(query.get("max-keys", MAX_LISTED)), MAX_LISTED)
    is_encoded = query.get("encoding-type") == "url"
    # Objects by name; names that are grouped have none.
    found: dict[str, Mapping[str, Any] | None] = {}
    for item in sorted(items, key=lambda item: item["name"].encode()):
        name = item["name"]
        if not name.startswith(prefix):
            continue
        head, grouped, _ = name[len(prefix) :].partition(delimiter or "\0")
        if grouped and delimiter:
            found[f"{prefix}{head}{delimiter}"] = None
        else:
            found[name] = item
    names = [name for name in found if name.encode() > last.encode()]
    shown = names[:limit]

    def written(name: str) -> str:
        return quote_plus(name, safe="/") if is_encoded else escape(name)

    text = f"<Name>{bucket}</Name><Prefix>{written(prefix)}</Prefix>"
    for name in shown:
        shown_item = found[name]
        if shown_item is None:
            text += f"<CommonPrefixes><Prefix>{written(name)}</Prefix></CommonPrefixes>"
        else:
            text += (
                f"<Contents><Key>{written(name)}</Key><Generation>{shown_item['generation']}</Generation>"
                f"<LastModified>{shown_item['updated']}</LastModified><ETag>&quot;x&quot;</ETag>"
                f"<Size>{shown_item['size']}</Size></Contents>"
            )
    truncated = len(shown) < len(names)
    if truncated:
        token = base64.b64encode(shown[-1].encode()).decode()
        text += f"<NextContinuationToken>{token}</NextContinuationToken>"
    if is_encoded:
        text += "<EncodingType>url</EncodingType>"
    text += f"<IsTruncated>{str(truncated).lower()}</IsTruncated>"
    return xml("ListBucketResult", f"{text}<KeyCount>{len(shown)}</KeyCount>")


def _last(token: str) -> str:
    try:
        return base64.b64decode(token, validate=True).decode()
    except ValueError:
        raise Refusal(400, "InvalidArgument", "Invalid argument.") from None
