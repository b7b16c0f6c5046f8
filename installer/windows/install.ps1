#Requires -Version 5.1
#Requires -RunAsAdministrator
<#
.SYNOPSIS
  Installs the taxdisk agent on this PC, or brings it up to date. Asks nothing.
.DESCRIPTION
  Run from the unpacked archive, as an administrator:
    powershell -ExecutionPolicy Bypass -File install.ps1 -Broker https://broker.example -Code XXXX-XXXX -Port COM3
  Journal, key and passwords (C:\ProgramData\taxdisk) are never touched. On a PC that is enrolled already, Broker and Code are not needed.
  Exit codes: 0 it runs, 1 it does not (the last line says why), 2 a file of the archive is not what it should be.
.PARAMETER Port
  A COM port with a disk. Its passwords are read from -Secret, a file with two lines, disk_password = "…" and certificate_password = "…".
#>
param(
    [string]$Broker,
    [string]$Code,
    [string]$Name = $env:COMPUTERNAME,
    [string]$CaFile,
    [string]$Proxy,
    [string]$Port,
    [string]$Secret,
    [string]$InstallDir = (Join-Path $env:ProgramFiles 'taxdisk')
)
$ErrorActionPreference = 'Stop'
Set-StrictMode -Version 2

$Here = Split-Path -Parent $MyInvocation.MyCommand.Path
$Data = Join-Path $env:ProgramData 'taxdisk'
$Config = Join-Path $Data 'agent.toml'
$Programs = @('taxdisk-agent.exe', 'taxdisk-bridge.exe')

function Stop-With([int]$ExitCode, [string]$Text) {
    [Console]::Error.WriteLine("install.ps1: $Text")
    exit $ExitCode
}

# What was damaged on its way is found before anything is replaced.
foreach ($Line in Get-Content (Join-Path $Here 'SHA256SUMS')) {
    $Sum, $File = $Line -split '\s+\*?', 2
    if ((Get-FileHash -Algorithm SHA256 (Join-Path $Here $File)).Hash -ne $Sum) {
        Stop-With 2 "$File is not what the archive was made with: fetch the archive again. Nothing was changed."
    }
}

# A running attempt ends first; what does not end in time is settled by reading the disk at the next start.
$Service = Get-Service -Name 'taxdisk-agent' -ErrorAction SilentlyContinue
if ($Service -and $Service.Status -ne 'Stopped') {
    Stop-Service -Name 'taxdisk-agent'
    $Service.WaitForStatus('Stopped', [TimeSpan]::FromSeconds(90))
}

New-Item -ItemType Directory -Force -Path $InstallDir, $Data | Out-Null
foreach ($Program in $Programs) {
    Copy-Item -Force (Join-Path $Here $Program) (Join-Path $InstallDir $Program)
}
Copy-Item -Force (Join-Path $Here 'agent.sample.toml') (Join-Path $InstallDir 'agent.sample.toml')
$Agent = Join-Path $InstallDir 'taxdisk-agent.exe'

if (-not (Test-Path $Config)) {
    $Text = ''
    if ($Port) { $Text = "[[disk]]`r`nport = '$Port'`r`n" }
    # Without a byte order mark, which TOML does not have.
    [IO.File]::WriteAllText($Config, $Text, (New-Object Text.UTF8Encoding $false))
}

if (-not (Test-Path (Join-Path $Data 'state\identity.json'))) {
    if (-not $Broker -or -not $Code) { Stop-With 1 'This PC is not enrolled: give -Broker and -Code. Nothing runs yet.' }
    $Words = @('--config', $Config, 'enroll', $Broker, $Code, '--name', $Name)
    if ($CaFile) { $Words += @('--ca-file', $CaFile) }
    if ($Proxy) { $Words += @('--proxy', $Proxy) }
    & $Agent @Words
    if ($LASTEXITCODE -ne 0) { Stop-With 1 'The PC could not be enrolled; the line above says why. Run this again with a code that is good.' }
}
if ($Port -and $Secret) {
    & $Agent --config $Config disks secret set $Port --from-file $Secret
    if ($LASTEXITCODE -ne 0) { Stop-With 1 "The passwords of $Port could not be set; the line above says why." }
}
& $Agent --config $Config install --service
if ($LASTEXITCODE -ne 0) { Stop-With 1 'The service could not be installed; the line above says why.' }
exit 0
