##! Tags dns.log, http.log, ssl.log and quic.log with the site that a name
##! belongs to, such as antivirus or torrent_tracker, while Zeek runs. The
##! sites come from a file that `zeek-enrich export zeek` writes and that is
##! read again whenever it changes. Without a file this script does nothing.

@load base/frameworks/cluster
@load base/frameworks/input
@load base/protocols/dns
@load base/protocols/http
@load base/protocols/ssl

module ZeekEnrich;

export {
	## The file to read, on every node that analyzes packets. A change while
	## Zeek runs takes effect.
	option sites_file: string = "";

	## The most specific domain to look up has this many labels; further ones
	## on the left are ignored.
	option site_labels: count = 8;

	type SiteDomain: record {
		## A domain; all names below it belong to it.
		domain: string;
	};

	type Site: record {
		## What kind of site it is, e.g. antivirus or os_update.
		category: string;
		## The product that the site serves, e.g. clamav.
		product: string &optional;
	};

	## The sites by domain.
	global sites: table[string] of Site = {};

	## The site that a host name belongs to: the longest domain wins. It has
	## no category where none is known.
	global site_of: function(name: string): Site;
}

redef record DNS::Info += {
	## What kind of site the query is for.
	site_category: string &log &optional;
	## The product that the site serves.
	site_product: string &log &optional;
};

redef record HTTP::Info += {
	## What kind of site the host is.
	site_category: string &log &optional;
	## The product that the site serves.
	site_product: string &log &optional;
};

redef record SSL::Info += {
	## What kind of site the server name is.
	site_category: string &log &optional;
	## The product that the site serves.
	site_product: string &log &optional;
};

@ifdef ( QUIC::LOG )
redef record QUIC::Info += {
	## What kind of site the server name is.
	site_category: string &log &optional;
	## The product that the site serves.
	site_product: string &log &optional;
};
@endif

const no_site = Site($category="");

# The input that fills the sites, and how many there have been: one that is
# removed goes away later, so each has a name of its own.
global sites_input = "";
global sites_inputs = 0;

function site_of(name: string): Site
	{
	# RFC 1035 section 2.3.4 bounds a name; a longer one is none.
	if ( |name| > 254 )
		return no_site;

	local labels = split_string(to_lower(name), /\./);

	# A name may end in the root's empty label.
	local last = |labels|;
	if ( labels[last - 1] == "" )
		--last;

	local suffix = "";
	local found = no_site;
	local depth = 0;

	while ( depth < last && depth < site_labels )
		{
		++depth;
		local label = labels[last - depth];
		suffix = depth == 1 ? label : label + "." + suffix;

		if ( suffix in sites )
			found = sites[suffix];
		}

	return found;
	}

function read_sites(path: string)
	{
	if ( sites_input != "" )
		{
		Input::remove(sites_input);
		sites_input = "";
		sites = table();
		}

	if ( path == "" )
		return;

	sites_input = fmt("zeek-enrich-sites-%d", ++sites_inputs);
	Input::add_table(Input::TableDescription($source=path, $name=sites_input,
	    $idx=SiteDomain, $val=Site, $destination=sites,
	    $mode=Input::REREAD));
	}

function sites_file_changed(id: string, path: string): string
	{
	read_sites(path);
	return path;
	}

event zeek_init()
	{
	# Managers, loggers and proxies analyze no packets.
	if ( Cluster::is_enabled() && Cluster::local_node_type() != Cluster::WORKER )
		return;

	read_sites(sites_file);
	Option::set_change_handler("ZeekEnrich::sites_file", sites_file_changed);
	}

hook DNS::log_policy(rec: DNS::Info, id: Log::ID, filter: Log::Filter)
	{
	if ( |sites| == 0 || ! rec?$query )
		return;

	local site = site_of(rec$query);
	if ( site$category == "" )
		return;

	rec$site_category = site$category;
	if ( site?$product )
		rec$site_product = site$product;
	}

hook HTTP::log_policy(rec: HTTP::Info, id: Log::ID, filter: Log::Filter)
	{
	if ( |sites| == 0 || ! rec?$host )
		return;

	# The host may carry a port (RFC 9110 section 7.2).
	local site = site_of(split_string1(rec$host, /:/)[0]);
	if ( site$category == "" )
		return;

	rec$site_category = site$category;
	if ( site?$product )
		rec$site_product = site$product;
	}

hook SSL::log_policy(rec: SSL::Info, id: Log::ID, filter: Log::Filter)
	{
	if ( |sites| == 0 || ! rec?$server_name )
		return;

	local site = site_of(rec$server_name);
	if ( site$category == "" )
		return;

	rec$site_category = site$category;
	if ( site?$product )
		rec$site_product = site$product;
	}

@ifdef ( QUIC::LOG )
hook QUIC::log_policy(rec: QUIC::Info, id: Log::ID, filter: Log::Filter)
	{
	if ( |sites| == 0 || ! rec?$server_name )
		return;

	local site = site_of(rec$server_name);
	if ( site$category == "" )
		return;

	rec$site_category = site$category;
	if ( site?$product )
		rec$site_product = site$product;
	}
@endif
