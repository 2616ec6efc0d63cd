"""Setups for real: the study's LAN, WAN and VPN as network namespaces in front of the lab."""
