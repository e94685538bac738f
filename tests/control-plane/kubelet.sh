#!/bin/bash
# kubelet.sh NAME ADDRESS GATEWAY: makes the Debian machine it runs in a node with Kubernetes' own kubelet, containerd
# and the bridge plugin, as kubeadm would; what it needs lies in /given. Run once, as root.
set -eu
name=$1 address=$2 gateway=$3
given=/given

hostname "$name"
card=$(ls /sys/class/net | grep -v '^lo$' | head -n 1)
ip link set "$card" up
ip address add "$address/24" dev "$card"
ip route add default via "$gateway"
modprobe overlay
modprobe br_netfilter
sysctl -q -w net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=1

mkdir -p /etc/containerd "/etc/containerd/certs.d/$gateway:5000" /etc/cni/net.d /opt/cni/bin /var/lib/kubelet
cp "$given"/cni/* /opt/cni/bin
cat >/etc/containerd/config.toml <<TOML
version = 3
[plugins."io.containerd.cri.v1.images"]
snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "$gateway:5000/pause:1"
[plugins."io.containerd.cri.v1.images".registry]
config_path = "/etc/containerd/certs.d"
TOML
cat >"/etc/containerd/certs.d/$gateway:5000/hosts.toml" <<TOML
server = "http://$gateway:5000"
[host."http://$gateway:5000"]
TOML
cat >/var/lib/kubelet/config.yaml <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: $given/ca.crt}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
clusterDomain: cluster.local
clusterDNS: [10.96.0.10]
rotateCertificates: true
resolvConf: /etc/resolv.conf
YAML
echo "nameserver $gateway" >/etc/resolv.conf
PATH=$given/bin:$PATH systemd-run --quiet --unit=containerd-2 --setenv=PATH="$given/bin:$PATH" "$given/bin/containerd"
systemd-run --quiet --unit=kubelet "$given/bin/kubelet" --config=/var/lib/kubelet/config.yaml \
    --bootstrap-kubeconfig="$given/bootstrap.conf" --kubeconfig=/var/lib/kubelet/kubeconfig \
    --hostname-override="$name" --node-ip="$address" --cert-dir=/var/lib/kubelet/pki
