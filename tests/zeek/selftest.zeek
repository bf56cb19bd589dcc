##! What `zkg test` runs over tests/data/zeek-package/site-a.pcap: the scripts
##! load, each log gets lines, and every line makes sense. Zeek exits with 1
##! where that is not so.

module SelfTest;

redef Log::default_writer = Log::WRITER_NONE;

global lines: table[string] of count &default=0;

global failures = 0;

function check(holds: bool, what: string)
	{
	if ( holds )
		return;

	++failures;
	print fmt("failed: %s", what);
	}

event ZeekEnrich::log_banner(rec: ZeekEnrich::Banner)
	{
	++lines["banner"];
	check(|rec$banner| > 0
	    && |rec$banner| <= ZeekEnrich::banner_bytes, "a banner has text, but not too much");
	}

event ZeekEnrich::log_payload(rec: ZeekEnrich::Payload)
	{
	++lines["payload"];
	check(rec?$orig_payload || rec?$resp_payload, "a payload line has a payload");
	if ( rec?$orig_payload )
		check(|rec$orig_payload_hex| == 2 * |rec$orig_payload|,
		    "text and hexadecimal are the same bytes");
	}

event ZeekEnrich::log_syn(rec: ZeekEnrich::Syn)
	{
	++lines["syn"];
	check(rec?$syn_ttl || rec?$synack_ttl, "a syn line has a packet");
	if ( rec?$syn_mss )
		check(/mss/ in rec$syn_options, "the options name the one that was seen");
	}

event SMTP::log_smtp(rec: SMTP::Info)
	{
	if ( rec?$greeting && rec?$ehlo_reply )
		++lines["smtp"];
	}

event HTTP::log_http(rec: HTTP::Info)
	{
	if ( rec?$server )
		++lines["http"];
	}

event Conn::log_conn(rec: Conn::Info)
	{
	if ( rec?$community_id )
		++lines["conn"];
	}

event zeek_done()
	{
	for ( i, name in vector("banner", "payload", "syn", "smtp", "http", "conn") )
		check(lines[name] > 0, fmt("%s has lines", name));

	if ( failures > 0 )
		exit(1);
	}
