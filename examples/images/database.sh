# The database: H2, in Java, which speaks PostgreSQL's protocol. Its files lie in /data.
packages=(openjdk-17-jre-headless libh2-java libc6 zlib1g)
kind=oci-archive
jvm=/usr/lib/jvm/java-17-openjdk-amd64
# What the virtual machine is linked with; `keep` sees that of programs alone.
libraries="/usr/lib/x86_64-linux-gnu/libstdc++.so.6 /usr/lib/x86_64-linux-gnu/libstdc++.so.6.0.30 \
    /lib/x86_64-linux-gnu/libm.so.6 /lib/x86_64-linux-gnu/libgcc_s.so.1"
config=(
    --config.entrypoint "$jvm/bin/java" --config.cmd -Xmx48m --config.cmd -XX:+UseSerialGC
    --config.cmd -XX:TieredStopAtLevel=1 --config.cmd -cp --config.cmd /usr/share/java/h2.jar
    --config.cmd org.h2.tools.Server --config.cmd -pg --config.cmd -pgAllowOthers
    --config.cmd -ifNotExists --config.cmd -baseDir --config.cmd /data
    --config.exposedports 5435/tcp --config.volume /data --config.user 65534:65534
)

layers() {
    unpack "$1/0.tar" "$here/keep \"\$1\" $jvm/bin/java $jvm/lib $jvm/conf /etc/java-17-openjdk $libraries \
        /usr/share/java/h2.jar /usr/share/java/h2-2.1.214.jar && mkdir -p \"\$1/tmp\" \"\$1/data\" && \
        chmod 1777 \"\$1/tmp\" \"\$1/data\"" openjdk-17-jre-headless,libh2-java
}
