##! Turns on what the enrichers need of Zeek's own logs: the community ID in
##! conn.log, which joins Zeek's flows with Suricata's. JSON only on request.

@load policy/protocols/conn/community-id-logging

module ZeekEnrich;

export {
	## Write every log as JSON, but for those that Zeek writes before it has
	## read its settings (packet_filter.log). zeek-enrich reads both formats.
	option json_logs: bool = F;
}

event zeek_init() &priority=-10
	{
	if ( ! json_logs )
		return;

	# LogAscii::use_json cannot follow an option; each log's filter can.
	for ( id in Log::active_streams )
		{
		local filter = Log::get_filter(id, "default");
		if ( filter$name != "default" )
			next;

		filter$config["use_json"] = "T";
		Log::add_filter(id, filter);
		}
	}
