# Matches the first byte, whatever it is, of each direction of a connection.
# They have no action: the eval function is what is wanted, and because it
# returns T a signature has fired and is not looked at again.

signature zeek-enrich-first-bytes-tcp-orig {
  ip-proto == tcp
  tcp-state originator
  payload /^[\x00-\xff]/
  eval ZeekEnrich::match_first_bytes
}

signature zeek-enrich-first-bytes-tcp-resp {
  ip-proto == tcp
  tcp-state responder
  payload /^[\x00-\xff]/
  eval ZeekEnrich::match_first_bytes
}

signature zeek-enrich-first-bytes-udp-orig {
  ip-proto == udp
  udp-state originator
  payload /^[\x00-\xff]/
  eval ZeekEnrich::match_first_bytes
}

signature zeek-enrich-first-bytes-udp-resp {
  ip-proto == udp
  udp-state responder
  payload /^[\x00-\xff]/
  eval ZeekEnrich::match_first_bytes
}
