# Debian's nginx behind the official image's interface: /etc/nginx/nginx.conf, /var/log/nginx, foreground, graceful stop.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
EXPOSE 80
STOPSIGNAL SIGQUIT
CMD ["nginx", "-g", "daemon off;"]
