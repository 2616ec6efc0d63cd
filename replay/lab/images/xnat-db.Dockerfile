# Debian's PostgreSQL behind what the lab uses of the official image's interface: POSTGRES_*, the data folder, the stop signal.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
RUN ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/
COPY xnat-db.sh /usr/local/bin/docker-entrypoint.sh
ENV PGDATA=/var/lib/postgresql/data
EXPOSE 5432
STOPSIGNAL SIGINT
ENTRYPOINT ["sh", "/usr/local/bin/docker-entrypoint.sh"]
CMD ["postgres"]
