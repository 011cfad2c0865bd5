#!/usr/bin/env bash
# Installs a Flink cluster and Beam's job server into .tools/flink, unless they are there: Java and Maven
# from Debian, Flink's own jars from its Python package (Maven Central has no flink-dist), Beam's runner
# from Maven Central with all that it needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../../.."

# The version that manifests/components/flink runs; tests/manifests holds them together.
readonly flink=1.19.3
readonly sha256=4a58e3a1fb7d83340bc96b6c080624c6d792d69fae5d294b96224775204a9c60
# The newest of Beam's runners for it that comes whole from Maven Central; it takes jobs of newer SDKs.
readonly beam=2.62.0
readonly folder=.tools/flink
readonly stamp="$folder/flink-$flink-beam-$beam"

if [[ -e $stamp ]]; then
  exit 0
fi
missing=()
command -v java >/dev/null || missing+=(openjdk-17-jre-headless)
command -v mvn >/dev/null || missing+=(maven)
if ((${#missing[@]})); then
  if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
    echo "missing ${missing[*]}. Install them (on Debian, as root: apt-get install ${missing[*]})." >&2
    exit 2
  fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

echo "flink: installing Flink $flink and Beam's runner $beam, which takes a minute"
mkdir -p .tools
# A folder of its own: an installation that is stopped leaves nothing that looks done.
scratch=$(mktemp -d "$PWD/.tools/flink.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
python=.venv/bin/python
[[ -x $python ]] || python=python3
# --no-build-isolation: the archive is unpacked here, nothing is built of it.
echo "apache-flink-libraries==$flink --hash=sha256:$sha256" >"$scratch/requirements.txt"
"$python" -m pip download --quiet --disable-pip-version-check --no-deps --no-build-isolation \
  --no-binary :all: --require-hashes --requirement "$scratch/requirements.txt" --dest "$scratch"
mkdir "$scratch/lib" "$scratch/beam"
tar -xzf "$scratch"/apache*flink*libraries-"$flink".tar.gz -C "$scratch" --strip-components=2 \
  --no-same-owner --wildcards '*/deps/lib/flink-dist-*.jar' '*/deps/lib/log4j-*.jar'
rm "$scratch"/apache*.tar.gz

# Flink's own classes come from flink-dist, so that client and cluster are of one version.
cat >"$scratch/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>thimble</groupId><artifactId>job-server</artifactId><version>1</version>
  <dependencies><dependency>
    <groupId>org.apache.beam</groupId>
    <artifactId>beam-runners-flink-${flink%.*}</artifactId><version>$beam</version>
    <exclusions>
      <exclusion><groupId>org.apache.flink</groupId><artifactId>*</artifactId></exclusion>
    </exclusions>
  </dependency></dependencies>
</project>
POM
mvn --batch-mode --quiet --no-transfer-progress --file "$scratch/pom.xml" dependency:copy-dependencies \
  -DincludeScope=runtime "-DoutputDirectory=$scratch/beam"

rm -rf "$folder"
mv "$scratch" "$folder"
trap - EXIT
chmod 755 "$folder"
touch "$stamp"
