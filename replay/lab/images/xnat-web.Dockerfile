# The practice XNAT's web application. The wheels come ready made beside this file: a build needs no network.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
WORKDIR /opt/lab
COPY wheels wheels
RUN python3 -m venv venv && venv/bin/pip install --quiet --disable-pip-version-check --no-index --find-links wheels wheels/*.whl \
    && rm -r wheels
COPY replay replay
RUN venv/bin/python -m compileall -q replay && mkdir -p /data/xnat/archive /data/xnat/home/logs /usr/local/tomcat/logs
EXPOSE 8080
CMD ["/opt/lab/venv/bin/python", "-m", "replay.lab.web"]
