##! What servers say of themselves: the SMTP greeting and EHLO reply in
##! smtp.log, the Server, X-Powered-By and Via headers in http.log, and every
##! other greeting in a log of its own, banner.log.
##!
##! A banner is text that a server sends before its client has said anything
##! (FTP, POP3, IMAP, NNTP, IRC and whatever else greets), the text after
##! telnet's option negotiation, the version in MySQL's handshake, or the reply
##! in which an IRC server names its software.

@load base/protocols/conn
@load base/protocols/http
@load base/protocols/mysql
@load base/protocols/smtp
@load ./first-bytes
@load-sigs ./banners.sig

module ZeekEnrich;

export {
	## The banner logging stream.
	redef enum Log::ID += { BANNER_LOG };

	## A logging policy hook for the banner stream.
	global log_policy_banner: Log::PolicyHook;

	## How many bytes of a banner, header or reply line to keep.
	option banner_bytes: count = 256;

	## How many lines of the reply to EHLO to keep.
	option ehlo_reply_lines: count = 16;

	## Do not write to banner.log what belongs to one of these services,
	## named as in conn.log: ssh.log has SSH's, and data channels have none.
	option banner_exclude_services: set[string] = {
		"ssh",
		"ftp-data",
		"gridftp-data",
		"irc-dcc-data"
	};

	type Banner: record {
		## When the banner was sent.
		ts: time &log;
		## Unique ID for the connection, the same as in conn.log.
		uid: string &log;
		## The connection's 4-tuple of endpoint addresses/ports.
		id: conn_id &log;
		## The transport layer protocol of the connection.
		proto: transport_proto &log;
		## The service, as in conn.log.
		service: string &log &optional;
		## Who sent the banner: "resp", or "orig" where Zeek took the
		## server for the client.
		direction: string &log;
		## The banner's first line.
		banner: string &log;
	};

	## Raised for each line of banner.log.
	global log_banner: event(rec: Banner);

	## What the signatures in banners.sig call.
	global match_telnet_text: function(state: signature_state, data: string): bool;
	global match_irc_yourhost: function(state: signature_state, data: string)
	    : bool;
	global match_originator_greets: function(state: signature_state, data: string)
	    : bool;
}

redef record connection += {
	## The banners seen in the connection.
	enrich_banners: vector of Banner &optional;
};

redef record SMTP::State += {
	## The text of the server's 220 greeting.
	greeting: string &optional;
	## The lines of the server's reply to EHLO.
	ehlo_reply: vector of string &optional;
};

redef record SMTP::Info += {
	## The text of the server's 220 greeting.
	greeting: string &log &optional;
	## The lines of the server's reply to EHLO: its name, then the
	## extensions that it offers.
	ehlo_reply: vector of string &log &optional;
};

redef record HTTP::Info += {
	## The response's Server header: the server's software.
	server: string &log &optional;
	## The response's X-Powered-By header: the software behind the server.
	x_powered_by: string &log &optional;
	## The response's Via header: the proxies in between.
	via: string &log &optional;
};

# Telnet's commands, options and subnegotiations, and terminals' control sequences.
const telnet_negotiation = /\xff([\xf0-\xf9]|[\xfb-\xfe][\x00-\xff]|\xfa[^\xff]*)|\x1b\[[0-9;?]*[A-Za-z]/;

# A line that a person could read, if not always in English.
const text_line = /[\x20-\x7e]{3}[\t\x20-\x7e\x80-\xff]*/;

# Of a login screen, a line that is not only ornament.
const worded_line = /[\t\x20-\x7e\x80-\xff]*[A-Za-z]{2}[\t\x20-\x7e\x80-\xff]*/;

# No connection has more than one of each kind.
const banners_max = 4;

function bounded(s: string): string
	{
	return |s| > banner_bytes ? s[0:banner_bytes] : s;
	}

# The first line that is not blank, if it is text.
function first_line(data: string): string
	{
	local start = lstrip(data[0 : 2 * banner_bytes]);
	local line = rstrip(split_string1(start, /[\r\n]/)[0]);
	return line == text_line ? bounded(line) : "";
	}

function add_banner(c: connection, is_orig: bool, banner: string)
	{
	if ( banner == "" )
		return;

	if ( ! c?$enrich_banners )
		c$enrich_banners = vector();

	if ( |c$enrich_banners| >= banners_max )
		return;

	c$enrich_banners += Banner($ts=network_time(), $uid=c$uid, $id=c$id,
	    $proto=get_port_transport_proto(c$id$resp_p),
	    $direction=is_orig ? "orig" : "resp", $banner=banner);
	}

hook first_bytes(c: connection, is_orig: bool, data: string)
	{
	# Servers that greet do so before the client has sent anything.
	if ( ! is_orig
	    && c$orig$size == 0
	    && data[0] == /[\r\n\x20-\x7e]/
	    && get_port_transport_proto(c$id$resp_p) == tcp )
		add_banner(c, is_orig, first_line(data));
	}

function match_telnet_text(state: signature_state, data: string): bool
	{
	local text = gsub(data, telnet_negotiation, "");

	for ( i, line in split_string(text, /[\x00\r\n]+/) )
		if ( line == worded_line )
			{
			add_banner(state$conn, F, first_line(line));
			break;
			}

	return T;
	}

function match_irc_yourhost(state: signature_state, data: string): bool
	{
	for ( i, line in split_string(data, /[\r\n]+/) )
		if ( line == /:[^ ]+ 002 .*/ )
			{
			add_banner(state$conn, F, first_line(line));
			break;
			}

	return T;
	}

function match_originator_greets(state: signature_state, data: string): bool
	{
	add_banner(state$conn, T, first_line(data));
	return T;
	}

event mysql_server_version(c: connection, ver: string)
	{
	add_banner(c, F, first_line(ver));
	}

event smtp_reply(c: connection, is_orig: bool, code: count, cmd: string,
    msg: string, cont_resp: bool)
	{
	local state = c$smtp_state;

	# Zeek's name for the command that a greeting answers.
	if ( code == 220 && cmd == ">" && ! state?$greeting )
		{
		state$greeting = bounded(msg);
		c$smtp$greeting = state$greeting;
		}

	else if ( code == 250 && ( cmd == "EHLO" || cmd == "HELO" ) )
		{
		if ( ! state?$ehlo_reply )
			state$ehlo_reply = vector();

		if ( |state$ehlo_reply| < ehlo_reply_lines )
			state$ehlo_reply += bounded(msg);

		c$smtp$ehlo_reply = state$ehlo_reply;
		}
	}

event smtp_request(c: connection, is_orig: bool, command: string, arg: string)
	{
	# Each message of a session has a line of its own in smtp.log.
	if ( c$smtp_state?$greeting && ! c$smtp?$greeting )
		c$smtp$greeting = c$smtp_state$greeting;

	if ( c$smtp_state?$ehlo_reply && ! c$smtp?$ehlo_reply )
		c$smtp$ehlo_reply = c$smtp_state$ehlo_reply;
	}

event http_header(c: connection, is_orig: bool, name: string, value: string)
	{
	if ( is_orig )
		return;

	if ( name == "SERVER" )
		c$http$server = bounded(value);

	else if ( name == "X-POWERED-BY" )
		c$http$x_powered_by = bounded(c$http?$x_powered_by ? c$http$x_powered_by +
		    ", " + value : value);

	else if ( name == "VIA" )
		c$http$via = bounded(c$http?$via ? c$http$via + ", " + value : value);
	}

event zeek_init()
	{
	Log::create_stream(BANNER_LOG, Log::Stream($columns=Banner, $ev=log_banner,
	    $path="banner", $policy=log_policy_banner));
	}

event connection_state_remove(c: connection)
	{
	if ( ! c?$enrich_banners )
		return;

	for ( service in c$service )
		if ( to_lower(service) in banner_exclude_services )
			return;

	for ( i, rec in c$enrich_banners )
		{
		if ( c?$conn && c$conn?$service )
			rec$service = c$conn$service;

		Log::write(BANNER_LOG, rec);
		}
	}
