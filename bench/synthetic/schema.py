"""The fields and types of the logs, in the order in which Zeek 8 writes them with its stock scripts."""

from __future__ import annotations

_ID = "ts:time uid:string id.orig_h:addr id.orig_p:port id.resp_h:addr id.resp_p:port"

_LOGS = {
    "conn": f"""{_ID} proto:enum service:string duration:interval orig_bytes:count resp_bytes:count conn_state:string
        local_orig:bool local_resp:bool missed_bytes:count history:string orig_pkts:count orig_ip_bytes:count
        resp_pkts:count resp_ip_bytes:count tunnel_parents:set[string] ip_proto:count""",
    "dns": f"""{_ID} proto:enum trans_id:count rtt:interval query:string qclass:count qclass_name:string qtype:count
        qtype_name:string rcode:count rcode_name:string AA:bool TC:bool RD:bool RA:bool Z:count answers:vector[string]
        TTLs:vector[interval] rejected:bool opcode:count opcode_name:string""",
    "http": f"""{_ID} trans_depth:count method:string host:string uri:string referrer:string version:string
        user_agent:string origin:string request_body_len:count response_body_len:count status_code:count
        status_msg:string info_code:count info_msg:string tags:set[enum] username:string password:string
        proxied:set[string] orig_fuids:vector[string] orig_filenames:vector[string] orig_mime_types:vector[string]
        resp_fuids:vector[string] resp_filenames:vector[string] resp_mime_types:vector[string]""",
    "ssl": f"""{_ID} version:string cipher:string curve:string server_name:string resumed:bool last_alert:string
        next_protocol:string established:bool ssl_history:string cert_chain_fps:vector[string]
        client_cert_chain_fps:vector[string] sni_matches_cert:bool""",
    "ssh": f"""{_ID} version:count auth_success:bool auth_attempts:count direction:enum client:string server:string
        cipher_alg:string mac_alg:string compression_alg:string kex_alg:string host_key_alg:string
        host_key_fingerprint:string""",
    "smtp": f"""{_ID} trans_depth:count helo:string mailfrom:string rcptto:set[string] date:string from:string
        to:set[string] cc:set[string] reply_to:string msg_id:string in_reply_to:string subject:string
        x_originating_ip:addr first_received:string second_received:string last_reply:string path:vector[addr]
        user_agent:string tls:bool fuids:vector[string]""",
}


def _fields(text: str) -> dict[str, str]:
    return dict(field.split(":", 1) for field in text.split())


LOGS: dict[str, dict[str, str]] = {log: _fields(text) for log, text in _LOGS.items()}
"""Log name -> its fields' names and Zeek types, in order."""
