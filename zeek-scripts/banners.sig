# Greetings that are not the first thing their sender says, or that come from
# the side that Zeek took for the client. As in first-bytes.sig, the eval
# functions are what is wanted.

# Text after option negotiation (RFC 854, RFC 855): IAC commands and
# subnegotiations, then at least three printable characters.
signature zeek-enrich-telnet-text {
  ip-proto == tcp
  tcp-state responder
  payload /^(\xff([\xf0-\xf9]|[\xfb-\xfe][\x00-\xff]|\xfa[^\xff]*)|[\x00\x08-\x0d\x1b])*\xff([\xf0-\xf9]|[\xfb-\xfe][\x00-\xff]|\xfa[^\xff]*)[\x00\x08-\x0d\x1b]*[ -~][ -~][ -~]/
  eval ZeekEnrich::match_telnet_text
}

# RPL_YOURHOST (RFC 2812 section 5.1) names the server's software.
signature zeek-enrich-irc-yourhost {
  ip-proto == tcp
  tcp-state responder
  payload /^([^\n]*\n)*:[^ \r\n]+ 002 [^\r\n]*[\r\n]/
  eval ZeekEnrich::match_irc_yourhost
}

# What only servers say, from the originator: Zeek missed the handshake and
# took the sides for each other.
signature zeek-enrich-originator-greets {
  ip-proto == tcp
  tcp-state originator
  payload /^(220[ -]|\+OK|\* (OK|PREAUTH|BYE)[ \r\n]|20[01] |:[^ \r\n]+ (NOTICE|020) |NOTICE AUTH )/
  eval ZeekEnrich::match_originator_greets
}
