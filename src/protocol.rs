//! The protocol that clients speak, for who writes one: WebSocket at `/ws`, both ways, and
//! Server-Sent Events at `/events`, one way.
//!
//! A message is one JSON object with a `type`. The schema of all of them, JSON Schema draft
//! 2020-12, is at `GET /api/v1/schema`; it has each figure's unit and meaning. The JSON below is
//! judged by that schema in the tests, and what a client sends goes through the parser.
//!
//! What holds everywhere:
//!
//! - Times are Unix milliseconds where the name does not say otherwise (`_s`, `_ms`), sizes bytes,
//!   percentages 0 to 100.
//! - A figure that the host cannot give is `null`, never 0. So is one that is not known yet, such
//!   as a rate at the first sample.
//! - Paths name figures everywhere: `cpu` is a topic, `memory.usage` a field, `server.messages` a
//!   group of fields, `disks.vda` a row and `filesystems./.usage` a field of a row. A key may hold
//!   dots: it is what stands between the first and the last one. In a subscription `*` in the place
//!   of a key is every row, those to come included: `networks.*.rx_bytes_per_s`.
//! - Within `vitald.v1` there are only additions: fields, types of message, codes of errors. What a
//!   client does not know it ignores, and so does the server. What changes its meaning gets another
//!   subprotocol.
//!
//! # A connection
//!
//! `GET /ws` with the handshake of RFC 6455, over HTTP/1.1. The subprotocol [`SUBPROTOCOL`] is
//! granted to who offers it and may be left out. `/ws?history=0` leaves history out of `hello`.
//! `permessage-deflate` is agreed to where vitald was built with `compression`. The request's
//! `Host` must be an IP address, a loopback name, the machine's own name or one that was allowed; a
//! page's `Origin` must have the same host and port or be allowed.
//!
//! | refused with | because |
//! |---|---|
//! | 400 | the head is malformed |
//! | 403 | the `Origin` is foreign |
//! | 421 | the `Host` is foreign |
//! | 426 | no WebSocket, or another version than 13 |
//! | 503 | there is no room; `Retry-After` says when to come again |
//!
//! # hello
//!
//! Comes first, and is enough to draw a page. `interval_ms` is the base interval, `topics` are all
//! that there are. `snapshot` is a whole `metrics` message, `history` has the last ten minutes at
//! most of what a page draws: `values` are `step_ms` apart and begin at `t0`. `alerts` lists what
//! fires. On a host of a thousand disks and more, where it would have over 256 KiB, it comes without
//! `history` and, if need be, without the topics that are lists. Cut short here:
//!
//! ```json
//! {
//!   "type": "hello",
//!   "protocol": 1,
//!   "server": {"name": "vitald", "version": "0.1.0"},
//!   "host": {
//!     "name": "pi", "os": "Linux (Debian 13)", "kernel": "Linux 6.12.25",
//!     "architecture": "aarch64", "cpu_model": null, "cores": 4, "cores_physical": 4,
//!     "memory_total": 4148072448, "boot_time_ms": 1767225600000, "container": null
//!   },
//!   "interval_ms": 1000,
//!   "topics": ["cpu", "load", "memory", "disks", "server"],
//!   "limits": {
//!     "message_bytes": 4096, "messages_per_s": 20, "subscriptions": 4,
//!     "interval_multiples": [1, 2, 5, 10, 30, 60]
//!   },
//!   "snapshot": {
//!     "type": "metrics", "seq": 4101, "t": 1767229701004,
//!     "cpu": {"usage": 12.3, "cores": [20.1, 4.5, 12, null]},
//!     "disks": [{"name": "mmcblk0", "read_bytes_per_s": 0, "write_bytes_per_s": 8192}]
//!   },
//!   "history": {
//!     "cpu.usage": {"t0": 1767229699003, "step_ms": 1000, "values": [9.87, null, 12.3]}
//!   },
//!   "alerts": []
//! }
//! ```
//!
//! # Subscriptions
//!
//! A connection holds up to [`SUBSCRIPTIONS_MAX`], each with a name, `sub`. The one named
//! [`DEFAULT_SUBSCRIPTION`] exists from the start, with every topic but `server` at the base
//! interval. Subscribing under a name replaces what had it.
//!
//! ```json
//! {"type":"subscribe","sub":"fast","topics":["cpu","memory.usage","disks.vda.utilisation"],
//!   "interval_ms":2000,"id":1}
//! ```
//!
//! Each field may be left out but `type`: `sub` is then the default one, `topics` are all but
//! `server`, `interval_ms` is the base interval and `mode` is `last`. A topic or field that does
//! not exist is an error; a row may be one that comes later. `interval_ms` is the distance between
//! two samples in every mode, rounded up to 1, 2, 5, 10, 30 or 60 base intervals. `id` is a whole
//! number or a text of up to [`ID_BYTES_MAX`] bytes, and comes back in the answer, which states
//! what was granted:
//!
//! ```json
//! {"type":"subscribed","sub":"fast","topics":["cpu","memory.usage","disks.vda.utilisation"],
//!   "interval_ms":2000,"mode":"last","id":1}
//! ```
//!
//! It can be more than was asked for, where [`CLASSES_MAX`] different subscriptions are being
//! served and there is one that covers it: take the answer's word. A subscription ends with:
//!
//! ```json
//! {"type":"unsubscribe","sub":"fast","id":2}
//! {"type":"unsubscribed","sub":"fast","id":2}
//! ```
//!
//! # Samples, by mode
//!
//! `last`: the newest sample, each time. `sub` is there unless it is the default one. Topics keep
//! their nested shape; what was not asked for is not there. Rows of a list always have their key.
//!
//! ```json
//! {"type":"metrics","seq":4102,"t":1767229702004,"sub":"fast","cpu":{"usage":11.8,"user":9.1,
//!   "system":2.7,"nice":0,"iowait":0,"irq":0,"steal":0,"cores":[18,5.1,12.2,11.9],
//!   "frequency_mhz":1500},"memory":{"usage":41.2},"disks":[{"name":"vda","utilisation":0.4}]}
//! ```
//!
//! `mean`: means over the interval, with the least and the largest in the same shape beside them.
//! Texts and flags are not in `min` and `max`, and those in the message are of the newest sample.
//!
//! ```json
//! {"type":"subscribe","sub":"minute","topics":["cpu.usage"],"interval_ms":60000,"mode":"mean"}
//! {"type":"metrics","seq":4140,"t":1767229740004,"sub":"minute","cpu":{"usage":14.2},
//!   "min":{"cpu":{"usage":7.1}},"max":{"cpu":{"usage":63.5}}}
//! ```
//!
//! `batch`: every sample, `batch` of them ([`BATCH_MIN`] to [`BATCH_MAX`]) at a time, oldest first;
//! fewer where they would have more than 64 KiB. A radio can sleep between two messages.
//!
//! ```json
//! {"type":"subscribe","topics":["cpu.usage"],"mode":"batch","batch":3,"id":"b"}
//! {"type":"subscribed","sub":"default","topics":["cpu.usage"],"interval_ms":1000,"mode":"batch",
//!   "batch":3,"id":"b"}
//! {"type":"batch","samples":[{"type":"metrics","seq":4150,"t":1767229750004,"cpu":{"usage":8.2}},
//!   {"type":"metrics","seq":4151,"t":1767229751004,"cpu":{"usage":9}},{"type":"metrics",
//!   "seq":4152,"t":1767229752004,"cpu":{"usage":7.7}}]}
//! ```
//!
//! # Slow readers, `seq` and `gap`
//!
//! `seq` counts base intervals since vitald began. A reader that takes its messages too slowly is
//! not sent what has become old: of each subscription the newest message waits, in place of the one
//! before. A step of `seq` that is larger than the interval's multiple says so; so does one for
//! which the host was asleep or too busy. Nothing needs to be done about it, but a line in a chart
//! should be broken there. A `seq` that falls is a server that began anew.
//!
//! Alerts are not replaced. Of those that wait the oldest go when there are more than 16, and
//! before the next one stands how many are missing; `GET /api/v1/alerts` has the last 64:
//!
//! ```json
//! {"type":"gap","missed":3}
//! {"type":"alert","rule":"cpu","metric":"cpu.usage","state":"firing","value":63.5,"threshold":50,
//!   "since":1767229740004,"severity":"warning"}
//! ```
//!
//! Who takes nothing for 10 s, or has not taken a message whole within 30 s, is disconnected. So is
//! who is silent: the server sends a WebSocket ping after 30 s without a word and gives up 15 s
//! later. Browsers and libraries answer it by themselves. To know the way there and back, or the
//! server's clock, a client may ask itself:
//!
//! ```json
//! {"type":"ping","id":3}
//! {"type":"pong","id":3,"t":1767229753101}
//! ```
//!
//! # Asking once
//!
//! `get` asks for `history`, `processes` or `server`. Of `history`, `metric` is a path or a list of
//! up to 8. Without `since` it has single samples; with it, it reaches as far back as there is
//! anything, with the finest there is of each stretch. `until` ends it before the newest; both are
//! times, and included. `points` is how many each metric may have; without it they are as many as
//! an answer holds. A point is time, least, mean and largest; what was missed is missing.
//!
//! ```json
//! {"type":"get","what":"history","metric":["cpu.usage","memory.usage"],"since":1767143340000,
//!   "points":2,"id":4}
//! {"type":"history","id":4,"series":[{"metric":"cpu.usage","unit":"percent","step_ms":43200000,
//!   "points":[[1767143340000,0.3,9.4,100],[1767186540000,0.2,8.1,97.3]]},{"metric":"memory.usage",
//!   "unit":"percent","step_ms":43200000,"points":[[1767143340000,38.1,40.2,44],[1767186540000,39,
//!   41.5,43.9]]}]}
//! ```
//!
//! Of `processes`, `sort` is `cpu`, `memory` or `io`, and `limit` 1 to 100; without them they are
//! `cpu` and 20. The first answer takes half a second, in which two scans tell rates, and other
//! messages may come before it. `command` is `null` for who may not see it.
//!
//! ```json
//! {"type":"get","what":"processes","sort":"memory","limit":1,"id":5}
//! {"type":"processes","id":5,"t":1767229754020,"sort":"memory","total":131,"running":1,
//!   "rows":[{"pid":812,"user":"www","name":"nginx","command":null,"cpu_usage":0.4,"rss":213405696,
//!   "read_bytes_per_s":0,"write_bytes_per_s":4096,"threads":6,"state":"S",
//!   "started":1767225612000}]}
//! ```
//!
//! `server` has what vitald measures of itself, and a `ledger` that says how often each resource
//! was taken and given back. Cut short here:
//!
//! ```json
//! {"type":"get","what":"server","id":6}
//! {"type":"server","id":6,"connections":{"active":3,"peak":9,"error_rate":null},
//!   "messages":{"sent":4099,"latency_ms":{"p99":1.25}},"ledger":{"slot":{"opened":41,"closed":38,
//!   "live":3,"high":9}}}
//! ```
//!
//! An answer over 64 KiB comes as several messages of its type, each JSON by itself, with `part`
//! from 1 and `parts`. Append the points of a series to those of the same metric, rows to rows:
//!
//! ```json
//! {"type":"history","id":7,"part":1,"parts":2,"series":[{"metric":"load.one","unit":"number",
//!   "step_ms":60000,"points":[[1767143340000,0.1,0.22,0.4]]}]}
//! {"type":"history","id":7,"part":2,"parts":2,"series":[{"metric":"load.one","unit":"number",
//!   "step_ms":60000,"points":[[1767143400000,0.09,0.11,0.2]]}]}
//! ```
//!
//! # Errors
//!
//! A message that cannot be carried out changes nothing, is answered, and the connection stays.
//! `id` is there as far as it could be read; `message` is for people.
//!
//! ```json
//! {"type":"error","code":"unknown_topic","message":"unknown metric path \"cup\"","id":8}
//! ```
//!
//! | code | the message |
//! |---|---|
//! | `bad_json` | is no JSON |
//! | `bad_request` | is no object, has a field of the wrong type or a value out of range, or names a subscription that is not there |
//! | `unknown_type` | has a `type` that is not known |
//! | `unknown_topic` | names a topic or field that does not exist |
//! | `limit` | asks for more than a limit allows, or than there is room for now; also told, without `id`, of a subscription whose samples are over 64 KiB |
//!
//! # Limits
//!
//! | what | limit | beyond it |
//! |---|---|---|
//! | bytes of a message from a client | 4096 ([`MESSAGE_BYTES_MAX`]) | close code 1009 |
//! | messages from a client in a second | 20 ([`MESSAGES_PER_SECOND_MAX`]) | close code 1008 |
//! | subscriptions of a connection | 4 ([`SUBSCRIPTIONS_MAX`]) | `limit` |
//! | different subscriptions of all connections | 32 ([`CLASSES_MAX`]) | one that covers it, or `limit` |
//! | bytes of a subscription's name | 1 to 32 ([`NAME_BYTES_MAX`]) | `bad_request` |
//! | bytes of an `id` that is a text | 64 ([`ID_BYTES_MAX`]) | it is not given back |
//! | samples of a batch | 2 to 60 ([`BATCH_MIN`], [`BATCH_MAX`]) | `bad_request` |
//! | bytes of a message to a client | 64 KiB but for `hello` | parts, smaller batches, or `limit` |
//! | answers that a client has not taken | 4, or half of 256 KiB | it is not read until it takes some |
//! | alerts that a client has not taken | 16 | `gap` |
//!
//! `hello` states those that a client can run into, under `limits`.
//!
//! # Close codes
//!
//! | code | because (RFC 6455, section 7.4.1) |
//! |---|---|
//! | 1000 | the client closed |
//! | 1001 | the server stops |
//! | 1002 | a frame was not allowed |
//! | 1003 | a message was binary |
//! | 1007 | a text was not UTF-8 |
//! | 1008 | too many messages in a second, or the token has changed |
//! | 1009 | a message was too long |
//!
//! A connection that ends without a close frame has met a stall, silence, a full table or a broken
//! network.
//!
//! # Coming again
//!
//! After 1001, a 503 or an end without a close frame: wait a second, then twice as long each time
//! up to half a minute, a random part of it, or as long as `Retry-After` says. After another code
//! the client is wrong, and will be again. Subscriptions end with the connection; `hello` brings
//! the samples of the meantime, as far as a page draws them, and `get` the others.
//!
//! # A token
//!
//! A server may ask for a token: 401 with `WWW-Authenticate: Bearer` says so. It is shown as
//! `Authorization: Bearer TOKEN`, and to `/ws` and `/events` also as `?token=TOKEN`, percent-encoded,
//! by clients that can send no fields: browsers, to another server than the page's own. A page of
//! the server itself had better begin a session: `POST /api/v1/session` with Authorization and an
//! empty body is answered 204 and a cookie, which goes with every later request and handshake;
//! `DELETE` ends it. 429 with Retry-After is said to whoever has shown ten wrong ones in a minute,
//! never to the right one. After close code 1008 with "the token has changed" ask for the new one.
//!
//! # Server-Sent Events
//!
//! `GET /events` gives the same messages to who only listens (`EventSource` in a browser, `curl
//! -N`). The query is what `subscribe` would say: `topics`, separated by commas, may repeat;
//! `interval_ms`, `mode`, `batch`; and `history=0`. One that makes no sense is refused with 400 and
//! the reason. Where more is granted than it asks for, `subscribed` says so after `hello`. There is
//! no `event` field: the type is in the JSON. Samples have an `id`, which is `seq`; a client that
//! comes again begins anew, with `hello`. After 15 s of silence there is a comment.
//!
//! ```text
//! retry: 3000
//! data: {"type":"hello","protocol":1,"server":{"name":"vitald","version":"0.1.0"},"host":{"name":"pi"},"interval_ms":1000,"topics":["cpu"],"limits":{},"snapshot":{"type":"metrics","seq":4160,"t":1767229760004},"alerts":[]}
//!
//! id: 4161
//! data: {"type":"metrics","seq":4161,"t":1767229761004,"cpu":{"usage":8.4}}
//!
//! :
//!
//! ```

pub use crate::app::hub::CLASSES_MAX;
pub use crate::app::protocol::{
    BATCH_MAX, BATCH_MIN, DEFAULT_SUBSCRIPTION, DIVISORS, ErrorCode, ID_BYTES_MAX,
    MESSAGE_BYTES_MAX, MESSAGES_PER_SECOND_MAX, NAME_BYTES_MAX, SUBPROTOCOL, SUBSCRIPTIONS_MAX,
    VERSION,
};
