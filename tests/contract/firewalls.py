"""Rules as firewalls have them on people's machines, in nft's language."""

DOCKER = """
add table ip filter
add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }
add chain ip filter INPUT { type filter hook input priority 0; policy drop; }
add rule ip filter INPUT ct state established,related accept
add rule ip filter INPUT iifname "out0" accept
"""
DOCKER_IPV6 = """
add table ip6 filter
add chain ip6 filter FORWARD { type filter hook forward priority 0; policy drop; }
"""
FIREWALLD = """
add table inet firewalld
add chain inet firewalld filter_FORWARD { type filter hook forward priority 10; policy accept; }
add rule inet firewalld filter_FORWARD ct state established,related accept
add rule inet firewalld filter_FORWARD reject with icmpx admin-prohibited
add chain inet firewalld filter_INPUT { type filter hook input priority 10; policy accept; }
add rule inet firewalld filter_INPUT ct state established,related accept
add rule inet firewalld filter_INPUT iifname "lo" accept
add rule inet firewalld filter_INPUT icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
add rule inet firewalld filter_INPUT reject with icmpx admin-prohibited
"""
